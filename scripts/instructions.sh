#!/usr/bin/env bash
# Counts the instructions of each hop of a message's way with callgrind and compares them with the
# kept ones, tests/instructions.txt. Counts do not depend on what else the machine does, but they
# do on the compiler: keep them again with it.
#   scripts/instructions.sh          fails where a hop takes over 3 % more than was kept
#   scripts/instructions.sh --keep   keeps what was counted
#   scripts/instructions.sh --build  only builds what is counted
set -euo pipefail
cd "$(dirname "$0")/.."

tolerance=3 # percent
kept=tests/instructions.txt
command -v valgrind >/dev/null || {
  echo "instructions: valgrind is not installed (on Debian: apt-get install valgrind)" >&2
  exit 1
}

# Without the runtime, so that this takes seconds where the broker takes minutes.
# One codegen unit: with several, a change anywhere moves what is inlined.
cargo build --quiet --profile fast --config profile.fast.codegen-units=1 --no-default-features \
  --features testing --bench hot_path
if [ "${1:-}" = --build ]; then exit; fi
binary=$(ls -t target/fast/deps/hot_path-* | grep -v '\.d$' | head -1)
few=2000 many=10000

count() { # HOP TIMES: instructions of the whole program
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

counted=$(
  for hop in parse subscribe sublist router-last router-hit router-miss encode record index; do
    # What both runs share, the preparation, drops out.
    echo "$hop $((($(count "$hop" $many) - $(count "$hop" $few)) / (many - few)))"
  done
)

if [ "${1:-}" = --keep ]; then
  {
    echo "# Instructions per hop, x86-64, profile fast, $(rustc --version). scripts/instructions.sh --keep"
    echo "$counted"
  } >"$kept"
  cat "$kept"
  exit
fi

echo "$counted" | awk -v tolerance=$tolerance '
  NR == FNR { if ($1 !~ /^#/) kept[$1] = $2; next }
  {
    change = kept[$1] ? 100 * ($2 / kept[$1] - 1) : 0
    bad = !($1 in kept) || change > tolerance
    printf "%-12s %6d, kept %6d, %+.1f %%%s\n", $1, $2, kept[$1], change, bad ? "  TOO MANY" : ""
    if (bad) failed++; else passed++
  }
  END { print "instructions: " passed + 0 " passed; " failed + 0 " failed"; exit failed > 0 }
' "$kept" -
