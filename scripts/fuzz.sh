#!/usr/bin/env bash
# Fuzzes every door for so many seconds each (20 by default), on the stable toolchain.
#   scripts/fuzz.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
shift || true
cargo build --quiet --release --manifest-path tests/fuzz/Cargo.toml
fuzz=tests/fuzz/target/release/weft-fuzz
passed=0 failed=0
for target in ${*:-$("$fuzz" --list)}; do
  if "$fuzz" "$target" "$seconds"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "fuzz: $passed passed, $failed failed"
((failed == 0 && passed > 0))
