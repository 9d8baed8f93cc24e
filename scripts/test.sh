#!/usr/bin/env bash
# Runs the tests: everything cargo knows, the broker's own transcripts among it.
#   scripts/test.sh [cargo test arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test --workspace --features testing --no-fail-fast "$@"
