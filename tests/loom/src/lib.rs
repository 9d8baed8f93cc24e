//! The broker's mesh, and the words it speaks, for loom's models (`src/mesh/loom.rs`).
#![allow(dead_code, unused_imports)] // the words are for all layers

#[path = "../../../src/mesh/mod.rs"]
mod mesh;
#[path = "../../../src/types/mod.rs"]
mod types;
