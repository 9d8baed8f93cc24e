//! runtime

pub mod logging;
pub mod process;
