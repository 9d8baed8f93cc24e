//! Which subjects a consumer wants.
