//! The messages of one stream, in sequence: in the log, or in memory.
