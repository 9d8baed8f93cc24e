//! What stands outside the broker and looks in: the doors for fuzzers, and the simulator.

pub mod fuzz;
