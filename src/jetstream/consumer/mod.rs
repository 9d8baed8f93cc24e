//! A consumer: its place in the stream, who waits, what was delivered and not acknowledged.
