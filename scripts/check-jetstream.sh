#!/usr/bin/env bash
# Reruns what JetStream has to show, and writes it down with the date and the commit.
#   scripts/check-jetstream.sh [STEP…]
# Steps: suites cli bench slow_reader sim mutations kills compare profile memory fuzz. All by default, which
# takes about two and a half hours on two quiet cores. Each step writes its own file in
# bench-harness/results/jetstream/; a step's file stays good while the code it covers is unchanged.
#   WEFT_SUITES_PYTHON_CHECKOUT, WEFT_SUITES_RUST_CHECKOUT, WEFT_SUITES_GO_CHECKOUT   where nats.py,
#                      nats.rs and nats.go lie; `suites` fails without them
#   WEFT_BINARIES      a folder with weft and bench-harness, instead of building them
#   WEFT_LOG_TESTS     the library's test program, as for check-log.sh, instead of building it
#   WEFT_STORES        where servers keep their streams: on the disk to be judged
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/install-ci-tools.sh >/dev/null
binaries=${WEFT_BINARIES:-$PWD/target/release}
if [[ -z ${WEFT_BINARIES:-} ]]; then cargo build --release --workspace --bins || exit; fi

results=bench-harness/results/jetstream
mkdir -p "$results" target
weft=$binaries/weft
harness=$binaries/bench-harness
reference=$PWD/.cache/venv/bin/nats-server
stores=${WEFT_STORES:-$PWD/target}
seeds=${WEFT_JS_SEEDS:-20000}
kills=${WEFT_KILLS:-100}
fuzz_seconds=${WEFT_FUZZ_SECONDS:-600}
rounds=${WEFT_ROUNDS:-3}
. scripts/record.sh
. scripts/profile.sh

ours() { # WORKLOAD OPTIONS…: on weft alone
  "$harness" "$@" --stores "$stores" --server "weft=$weft"
}

rivals() { # WORKLOAD OPTIONS…: nats-server as it comes and with each message synced, and weft
  "$harness" "$@" --rounds "$rounds" --stores "$stores" --server "nats=$reference" \
    --server "always=$reference" --always always --server "weft=$weft"
}

defaults() { # WORKLOAD OPTIONS…: where nothing is synced
  "$harness" "$@" --rounds "$rounds" --stores "$stores" --server "nats=$reference" --server "weft=$weft"
}

# The official clients' suites, beside each other; what may fail is listed in tests/compat/suites-failing.txt.
suites() {
  local kind checkout pids=() pid status=0
  : "${WEFT_SUITES_PYTHON_CHECKOUT:?names no checkout of nats.py}" "${WEFT_SUITES_RUST_CHECKOUT:?names no checkout of nats.rs}"
  : "${WEFT_SUITES_GO_CHECKOUT:?names no checkout of nats.go}"
  for kind in PYTHON RUST GO; do
    checkout=WEFT_SUITES_${kind}_CHECKOUT
    scripts/client-suites.sh "$kind" "${!checkout}" "$weft" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  return $status
}

cli() { tests/compat/cli-jetstream.sh "$weft"; }

# Every `nats bench js` and `nats bench kv`, at its own size.
bench() { WEFT_TEST_SHARDS=1,2 tests/compat/cli-jetstream.sh "$weft" bench; }

# A reader of 5 MB/s, on the stream's core and on another.
slow_reader() {
  local manner spacers status=0
  for manner in pull push flow ordered; do
    for spacers in 0 1; do
      ours js-slow --manner "$manner" --spacers "$spacers" --size 1024 --shards 2 || status=1
    done
  done
  return $status
}

# Crash seeds of the simulator, in as many processes as there are CPUs.
sim() {
  local jobs share pids=() pid status=0 job
  jobs=$(nproc)
  share=$(((seeds + jobs - 1) / jobs))
  [ -n "${WEFT_LOG_TESTS:-}" ] ||
    cargo test --quiet --release --no-default-features --features testing --lib --no-run || return
  for job in $(seq 0 $((jobs - 1))); do
    JS_SIM_SEEDS=$((job * share))..$(((job + 1) * share)) thinking js_sim::tests::long_run &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  echo "$((jobs * share)) seeds"
  return $status
}

mutations() { thinking js_sim::tests::mutations_are_caught; }

thinking() { # FILTER…: release tests of the part without I/O; none found is a failure
  local output
  if [ -n "${WEFT_LOG_TESTS:-}" ]; then
    output=$("$WEFT_LOG_TESTS" --nocapture "$@" 2>&1)
  else
    output=$(cargo test --quiet --release --no-default-features --features testing --lib -- --nocapture "$@" 2>&1)
  fi
  local status=$?
  echo "$output"
  grep -q '^test result: ok. [1-9]' <<<"$output" && return $status
}

# A server killed at random moments under full load, on the real disk.
kills() {
  ours crash --kills "$kills" --shards 2 && ours crash --kills "$((kills / 5))" --shards 1 --size 1024 --unacked 1000
}

# Acknowledgements of ours mean that a message is on disk.
compare() {
  local size unacked streams op outstanding batch status=0
  for size in 128 1024; do
    for unacked in 1 256 1000; do
      for streams in 1 8; do
        rivals js-publish --size "$size" --unacked "$unacked" --streams "$streams" --storage file || status=1
        defaults js-publish --size "$size" --unacked "$unacked" --streams "$streams" --storage memory || status=1
      done
    done
    defaults js-consume --how push --size "$size" || status=1
    for batch in 1 100 500; do
      defaults js-consume --how pull --pull-batch "$batch" --size "$size" || status=1
    done
    defaults js-consume --how fetch --pull-batch 100 --size "$size" || status=1
    for outstanding in 1 64; do
      defaults js-get --outstanding "$outstanding" --size "$size" || status=1
      for op in put update; do
        rivals kv --op "$op" --outstanding "$outstanding" --size "$size" || status=1
      done
    done
  done
  defaults consumers --count 10000 || status=1
  defaults restart --messages 1000000 || status=1
  defaults restart --messages 1000000 --kill || status=1
  return $status
}

# Where the CPU goes in the lines of `compare` that miss their goal.
profile() {
  local shape status=0
  for shape in "js-publish --unacked 1" "js-publish --unacked 1 --streams 8" "js-publish --unacked 1 --storage memory" \
    "js-publish --unacked 256" "js-publish --unacked 256 --storage memory --size 1024" \
    "js-publish --unacked 1000" "js-publish --unacked 1000 --size 1024" "js-get" "js-get --outstanding 64" \
    "js-consume --how pull --pull-batch 1" "kv --op update" "kv --op update --outstanding 64"; do
    with_store "$shape" nats "$reference" || status=1
    with_store "$shape" weft "$weft" || status=1
  done
  return $status
}

with_store() { # SHAPE NAME SERVER
  local store status
  store=$(mktemp -d -p "$stores")
  profiled "$@" -js -sd "$store"
  status=$?
  rm -rf "$store"
  return $status
}

# A million keys at no more than 150 bytes, a hundred thousand idle consumers at no more than 1 KB.
memory() {
  local shards status=0
  for shards in 1 2; do
    ours keys --size 16 --bound 150 --shards "$shards" || status=1
    ours consumers --bound 1024 --shards "$shards" || status=1
    ours consumers --ephemeral --bound 1024 --shards "$shards" || status=1
  done
  return $status
}

fuzz() { scripts/fuzz.sh "$fuzz_seconds" jetstream; }

for step in ${*:-suites cli bench slow_reader sim mutations kills compare profile memory fuzz}; do
  record "$step" "$step"
done
echo "steps failed: $failed"
((failed == 0))
