//! runtime

pub mod control;
