//! A stream: what a publish does, and what leaves it again.
