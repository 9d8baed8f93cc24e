//! The API: requests under `$JS.API.`, and their answers.

mod call;

pub use call::{API_PATTERNS, Call, ConsumerCall, StreamCall};
