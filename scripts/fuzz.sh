#!/usr/bin/env bash
# Fuzzes every door for so many seconds each (20 by default), on the stable toolchain; as many at a time
# as there are CPUs.
#   scripts/fuzz.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
shift || true
cargo build --quiet --release --manifest-path tests/fuzz/Cargo.toml
fuzz=tests/fuzz/target/release/weft-fuzz
targets=${*:-$("$fuzz" --list)}
# A line per target, and what it said in one piece.
run='said=$("$0" "$2" "$1" 2>&1) && ended=passed || ended=failed; printf "%s\nfuzz-ended: %s\n" "$said" "$ended"'
output=$(xargs -n 1 -P "$(nproc)" bash -c "$run" "$fuzz" "$seconds" <<<"$targets")
grep -v '^fuzz-ended: ' <<<"$output" || true
passed=$(grep -c '^fuzz-ended: passed' <<<"$output" || true)
failed=$(($(wc -w <<<"$targets") - passed))
echo "fuzz: $passed passed, $failed failed"
((failed == 0 && passed > 0))
