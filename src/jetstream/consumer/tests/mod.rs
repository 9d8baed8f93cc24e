//! Consumers on a stream in memory.
