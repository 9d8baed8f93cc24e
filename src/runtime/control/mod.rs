//! The control thread: what serves operators, never on a message's path.

pub mod ask;
pub mod http;
pub mod pages;
pub mod process_facts;
