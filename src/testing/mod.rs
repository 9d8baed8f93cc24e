//! testing

pub mod disk;
pub mod log_sim;
