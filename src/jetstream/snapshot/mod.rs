//! Snapshots of streams: what they are as bytes, how one is made and how one is taken in.
//!
//! | file | knows |
//! |---|---|
//! | `frame` | the S2 stream around it all |
//! | `archive` | the entries inside |
//! | `consumer` | a consumer's entry |
//! | `export` | a stream on its way out: chunks, window, acknowledgements |
//! | `import` | a stream on its way in: chunks, until it can be served |
//!
//! The API's side is `api/snapshots`.

mod archive;
mod consumer;
mod export;
mod frame;
mod import;

pub use consumer::{ConsumerProgress, ConsumerSnapshot, PendingMessage, SequencePair};
pub use export::{Export, ExportRequest, Plan, Step};
pub use import::{Import, Imported, Progress};

#[cfg(test)]
mod tests;
