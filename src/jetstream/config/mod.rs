//! Configurations of streams and consumers: parsed, checked, completed, written.
