#!/usr/bin/env bash
# Reruns what the harness, the histograms and the page have to show, and writes it down with the
# date and the commit.
#   scripts/check-measures.sh [STEP…]
# Steps: compare ceilings faults pages overhead. All by default, which takes about 40 minutes
# on two quiet cores. Each step writes its own file in bench-harness/results/measures/; a step's file
# stays good while the code it covers is unchanged.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/install-ci-tools.sh >/dev/null
cargo build --release --workspace --bins

results=bench-harness/results/measures
mkdir -p "$results"
weft=$PWD/target/release/weft
reference=$PWD/.cache/venv/bin/nats-server
harness=target/release/bench-harness
rounds=${WEFT_ROUNDS:-7}
. scripts/record.sh

# 1. and 3. The standard comparison, as README tells it, latency at shares of saturation with it; it may
# take ten minutes.
compare() {
  local began=$SECONDS
  WEFT=$weft NATS_SERVER=$reference scripts/compare.sh --json "$results/compare.json" || return
  echo "took $((SECONDS - began)) s"
  ((SECONDS - began < 600))
}

# 2. Each workload beside the harness' own server: what the harness can do.
ceilings() {
  "$harness" compare --ceiling --closed --rounds 1 --server "weft=$weft" --json "$results/ceilings.json"
}

# 2. Every verifying workload against servers that drop, double, reorder and change messages.
faults() { cargo test --release -p bench-harness workload::tests; }

# 4. and 6. /latencyz beside the harness and a client, .hlog and /metrics in others' readers, the page
# in a browser.
pages() {
  (cd tests/compat/python && PYTHONDONTWRITEBYTECODE=1 ../../../.cache/venv/bin/python -m pytest -s test_latency_and_page.py)
}

# 5. The same commit with and without histograms, in turn.
overhead() {
  local without=target/without-histograms status=0 workload flags="-a 127.0.0.1 -p {port} --shards 1"
  cargo build --release --features without-histograms --bin weft --target-dir "$without" || return
  for workload in pair "request --requesters 64" "js-publish --unacked 256 --storage memory"; do
    local store=
    case $workload in js*) store="-js -sd {store}" ;; esac
    # shellcheck disable=SC2086 # words
    "$harness" $workload --rounds "$rounds" --server "on=$weft $flags $store" \
      --server "off=$without/release/weft $flags $store" || status=1
  done
  rm -rf "$without"
  return $status
}

for step in ${*:-compare ceilings faults pages overhead}; do
  record "$step" "$step"
done
echo "steps failed: $failed"
((failed == 0))
