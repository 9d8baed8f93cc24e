//! What the log knows of its streams without reading: sequence → place, per-subject state, keys.
//! All of it can be rebuilt from the segments.

mod chunk;
mod columns;
mod debris;
pub mod entries;
pub mod keys;
mod names;
mod postings;
pub mod sequences;
pub mod stream;
pub mod subjects;

pub use debris::Debris;
pub use entries::Entry;
pub use stream::StreamIndex;
pub use subjects::{Bound, SubjectId, SubjectState};
