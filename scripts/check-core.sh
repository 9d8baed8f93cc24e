#!/usr/bin/env bash
# Reruns what core NATS has to show, and writes it down with the date and the commit.
#   scripts/check-core.sh [STEP…]
# Steps: visibility sim fuzz mutated bench slow memory ladder old_kernel idle soak compare sizes
# profile. All by default, which takes about an hour and three quarters on two quiet cores. Each step
# writes its own file in bench-harness/results/core/; a step's file stays good while the code it covers is unchanged.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/install-ci-tools.sh >/dev/null
cargo build --release --workspace --bins

results=bench-harness/results/core
mkdir -p "$results"
weft=$PWD/target/release/weft
reference=$PWD/.cache/venv/bin/nats-server
nats=$PWD/.cache/bin/nats
harness=target/release/bench-harness
tries=${WEFT_TRIES:-1000000}
seeds=${WEFT_SIM_SEEDS:-10000}
soak_minutes=${WEFT_SOAK_MINUTES:-20}
fuzz_seconds=${WEFT_FUZZ_SECONDS:-600}
. scripts/record.sh
. scripts/profile.sh

server_pid=
start() { # FLAGS…: a server on port 14222, monitoring on 18222
  "$weft" -a 127.0.0.1 -p 14222 -m 18222 "$@" 2>"$results/server.log" &
  server_pid=$!
  for _ in $(seq 100); do
    if (exec 3<>/dev/tcp/127.0.0.1/14222) 2>/dev/null; then return; fi
    sleep 0.05
  done
}

stop() {
  kill "$server_pid"
  wait "$server_pid"
}

visibility() {
  local shards
  for shards in 2 4; do
    "$harness" visibility --tries "$tries" --server "weft=$weft" --server-args "weft=--shards $shards" || return
  done
}

sim() {
  WEFT_SIM_SEEDS=$seeds cargo test --quiet --release --no-default-features --features testing --test sim -- --nocapture
}

fuzz() {
  scripts/fuzz.sh "$fuzz_seconds"
}

mutated() {
  local status decoy_pid
  "$weft" -a 127.0.0.1 -p 14223 2>/dev/null &
  decoy_pid=$!
  start
  .cache/venv/bin/python tests/compat/mutated_streams.py 14222 4000 14223
  status=$?
  stop
  kill "$decoy_pid"
  wait "$decoy_pid"
  return $status
}

# `nats bench`: every subscriber gets every message, and nobody is cut.
bench() {
  local shards size subscribers status=0 subscriber
  for shards in 1 2 4; do
    for size in 128 1024; do
      for subscribers in 1 4; do
        start --shards "$shards"
        "$nats" -s nats://127.0.0.1:14222 bench sub bench.x --clients "$subscribers" --msgs 1000000 --no-progress >"$results/sub.log" 2>&1 &
        subscriber=$!
        sleep 1
        "$nats" -s nats://127.0.0.1:14222 bench pub bench.x --msgs 1000000 --size "$size" --no-progress | grep -a 'stats' | head -1
        if ! timeout 60 tail --pid="$subscriber" -f /dev/null; then
          kill "$subscriber"
          status=1
          echo "subscriber did not get everything"
        fi
        wait "$subscriber" || status=1
        grep -a 'stats' "$results/sub.log" | tail -1
        echo "shards $shards, size $size, subscribers $subscribers: slow consumers $(curl -s http://127.0.0.1:18222/varz | grep '"slow_consumers"')"
        curl -s http://127.0.0.1:18222/varz | grep -q '"slow_consumers": 0' || status=1
        stop
      done
    done
  done
  rm -f "$results/sub.log"
  return $status
}

# A subscriber that never reads, and one that stops, on the healthy one's core and on the other;
# under `nats bench` at full speed, at a rate the server has no trouble with, and at the most it can
# do.
slow() {
  local shards spacers status
  for shards in 1 2; do
    for spacers in $(seq 0 $((shards - 1))); do
      echo "nats bench, shards $shards, spacers $spacers"
      start --shards "$shards"
      .cache/venv/bin/python tests/compat/stopped_subscriber.py "$nats" 14222 18222 9 "$spacers"
      status=$?
      stop
      ((status == 0)) || return $status
    done
  done
  for shards in 1 2; do
    for spacers in $(seq 0 $((shards - 1))); do
      for how in "--pace 1000000" "--pace 1000000 --reads-first" "" "--reads-first"; do
        echo "shards $shards, spacers $spacers $how"
        # shellcheck disable=SC2086 # two words
        "$harness" slow --spacers "$spacers" $how --server "weft=$weft" --server-args "weft=--shards $shards" || return
      done
    done
  done
  "$harness" slow --pace 1000000 --server "nats=$reference"
}

memory() {
  local shards
  for shards in 1 8; do
    "$harness" connections --count 10000 --server "weft=$weft" --server-args "weft=--shards $shards" || return
    "$harness" subscriptions --count 1000000 --server "weft=$weft" --server-args "weft=--shards $shards" || return
  done
}

# The ring features of older kernels: large and small messages, and for the oldest all tests that
# start a server.
ladder() {
  local rung status=0
  for rung in 5.10 5.13 5.19; do
    echo "ring_features $rung"
    start --ring_features "$rung" --shards 2
    "$harness" pair --server "weft=@127.0.0.1:14222" --size 128,65536 --seconds 1 || status=1
    "$harness" pairs --server "weft=@127.0.0.1:14222" --size 1024 --seconds 1 || status=1
    stop
  done
  export WEFT_TEST_ARGS="--ring_features 5.10"
  cargo test --quiet --release --test transcripts --test async_nats --test store || status=1
  (cd tests/compat/python && PYTHONDONTWRITEBYTECODE=1 ../../../.cache/venv/bin/python -m pytest -q) || status=1
  unset WEFT_TEST_ARGS
  return $status
}

# The oldest kernel that is promised, in a virtual machine.
old_kernel() { scripts/old-kernel.sh; }

# CPU of eight idle shards over ten seconds, in percent of one CPU.
idle() {
  start --shards 8
  sleep 2
  local before after
  before=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  sleep 10
  after=$(awk '{print $14 + $15}' "/proc/$server_pid/stat")
  stop
  awk -v ticks=$((after - before)) 'BEGIN { percent = ticks / 10; print "idle, 8 shards:", percent, "% of one CPU"; exit percent > 2 }'
}

soak() {
  "$harness" soak --minutes "$soak_minutes" --server "weft=$weft"
}

compare() {
  "$harness" compare --server "nats=$reference" --server "weft=$weft" --json "$results/compare.json"
  local status=$?
  rm -f "$results"/compare.{hlog,html} # drawn from the rest, and large
  return $status
}

# The sizes that the standard comparison leaves out.
sizes() {
  local shape status=0
  for shape in "publish --size 65536" "fanout --size 16,1024" "pairs --size 16,1024" "queue --size 16,1024"; do
    # shellcheck disable=SC2086 # words
    "$harness" $shape --server "nats=$reference" --server "weft=$weft" || status=1
  done
  return $status
}

# Where the CPU goes in what is nearest to nats-server.
profile() {
  local shape status=0
  for shape in "publish --size 128" "publish --size 1024" "pair --size 1024" \
    "fanout --size 1024" "pairs --size 1024" "queue --size 1024" "request" "request --requesters 64"; do
    profiled "$shape" nats "$reference" || status=1
    profiled "$shape" weft "$weft" || status=1
  done
  return $status
}

for step in ${*:-visibility sim fuzz mutated bench slow memory ladder old_kernel idle soak compare sizes profile}; do
  record "$step" "$step"
done
rm -f "$results/server.log"
echo "steps failed: $failed"
((failed == 0))
