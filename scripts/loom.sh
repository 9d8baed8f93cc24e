#!/usr/bin/env bash
# The mesh's models: lanes, doorbells and parking under every interleaving and memory ordering.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
  cargo test --manifest-path tests/loom/Cargo.toml --lib mesh::loom
