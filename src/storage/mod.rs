//! The log of one core: durable, fast, and never wrong (DESIGN §5).
//!
//! It is sans-I/O. Commands ([`Log::append`], [`Log::delete`], [`Log::trim`], …) change memory
//! and return the batch ([`Lsn`]) that must become durable before anyone is told; [`Effect`]s say
//! what is to be done to files; completions go back in (`on_written`, `on_synced`, …); and
//! [`Event::Durable`] says that [`Log::settled`] has moved. It knows no file handles, no clock and
//! no client.
//!
//! | file | knows |
//! |---|---|
//! | `batch` `record` `segment` `footer` | the bytes on disk, see `format.md` |
//! | `commit` | what gathers, waits and flies: `durable <= submitted <= appended` |
//! | `append` `reads` | what streams ask for |
//! | `tail` `read_cache` | what is kept in memory of what was written, and of what was read |
//! | `flush` | the way to the disk and back |
//! | `figures` | what the operator is told |
//! | `segments` | files: prepared, sealed, retired, used again |
//! | `compaction` | copying what lives, grouped by stream |
//! | `index/` | sequence → place, subjects, keys |
//! | `recovery/` `values` | all of the above out of files |
//!
//! Checkpoints are the parts of footers: each tells what some batches of its segment hold, and is
//! written once they are durable. Nothing is written twice for them, and no part takes a turn long.
//!
//! What holds at every moment:
//! - A block with a durable record is never written again.
//! - Batches become durable in the order of their numbers: one write is in flight.
//! - Deletes, trims and stream ends win whatever the order in which they are met, because
//!   sequences, versions and stream ids are never reused. So recovery may read segments in any
//!   order, and a copy may lie before or behind the original.
//! - A delete lives as long as the segment of its victim; a segment that holds copies does not
//!   retire before the segment they were made from.

mod append;
mod batch;
mod bytes;
mod checksum;
mod commit;
mod compaction;
mod effects;
mod fault;
mod figures;
mod flush;
mod footer;
mod ids;
mod index;
mod log;
mod mutation;
mod read_cache;
mod reads;
mod record;
mod recovery;
mod segment;
mod segments;
mod tail;
mod values;

pub use append::Urgency;
pub use batch::{BLOCK, Buffer};
#[cfg(feature = "testing")]
pub use checksum::of as checksum_of;
pub use effects::{Effect, Event, OpId};
#[cfg(test)]
pub use fault::Operation;
pub use fault::{Certainty, Damage, IoFault, Poison, ReadError, Refusal};
pub use figures::{Counters, LogFigures};
#[cfg(feature = "testing")]
pub use footer::PartLimits;
pub use ids::{LogId, Lsn, Place, SegmentNo, Seq, SlotId, StreamId};
pub use index::{Bound, Entry, StreamIndex, SubjectId, SubjectState};
pub use log::{Health, Log, LogSettings, SyncMode};
pub use mutation::Mutation;
#[cfg(feature = "testing")]
pub use mutation::{is as is_mutated, set as set_mutation};
pub use read_cache::Page;
#[cfg(any(test, feature = "testing"))]
pub use reads::Found;
pub use reads::ReadRun;
#[cfg(feature = "testing")]
pub use record::Record;
pub use record::{Form, Message};
pub use recovery::{Recovery, Report, SlotFile, Step};
pub use values::{KeyValue, load_values};
