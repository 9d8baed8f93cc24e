#!/usr/bin/env bash
# Reruns what the log has to show, and writes it down with the date and the commit.
#   scripts/check-log.sh [STEP…]
# Steps: sim cores mutations flips kills faults mounts append fio streams recovery memory overwrite
# drain eternal lone store store_mounts. All by default, which takes about three hours on two quiet
# cores. Each step writes its own file in bench-harness/results/log/; a step's file stays good while
# the code it covers is unchanged. `mounts` and `store_mounts` need root and loop devices; the
# others run anywhere. WEFT_CRASH_PARENT names a directory on the disk to be judged, by default
# this one. WEFT_LOG_TESTS names the library's test program, built before with the features testing
# and log-bench, to be run instead of a release build of it: for a machine on which that takes long.
set -uo pipefail
cd "$(dirname "$0")/.."

results=bench-harness/results/log
mkdir -p "$results" target
seeds=${WEFT_LOG_SEEDS:-20000}
rounds=${WEFT_CRASH_ROUNDS:-200}
export WEFT_BENCH_SECONDS=${WEFT_BENCH_SECONDS:-300}
. scripts/record.sh

log_tests() { # FEATURES FILTER…: release tests of the library, with what they print
  local features=$1
  shift
  if [ -n "${WEFT_LOG_TESTS:-}" ]; then
    kept "$@"
    return
  fi
  cargo test --quiet --release --features "testing,$features" --lib -- --nocapture "$@"
}

kept() { # FILTER…: the same with the test program that is there already
  echo "($(basename "$WEFT_LOG_TESTS"), built before; load $(cut -d' ' -f1-3 /proc/loadavg))"
  "$WEFT_LOG_TESTS" --nocapture "$@"
}

thinking() { # FILTER…: the same of the part without I/O
  if [ -n "${WEFT_LOG_TESTS:-}" ]; then
    kept "$@"
    return
  fi
  cargo test --quiet --release --no-default-features --features testing --lib -- --nocapture "$@"
}

# 1. Crash seeds of the simulator, in as many processes as there are CPUs.
sim() {
  local jobs share pids=() pid status=0 job
  jobs=$(nproc)
  share=$(((seeds + jobs - 1) / jobs))
  [ -n "${WEFT_LOG_TESTS:-}" ] ||
    cargo test --quiet --release --no-default-features --features testing --lib --no-run || return
  for job in $(seq 0 $((jobs - 1))); do
    LOG_SIM_SEEDS=$((job * share))..$(((job + 1) * share)) thinking log_sim::tests::long_run &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  echo "$((jobs * share)) seeds"
  return $status
}

# Cores come and go between appends: in the simulator, and with the broker itself.
cores() {
  thinking cores_change || return
  if [ -n "${WEFT_LOG_TESTS:-}" ]; then
    echo "(the broker itself was not run)"
    return
  fi
  cargo test --quiet --release --test store cores_change
}

mutations() { thinking log_sim::tests::mutations_are_caught; }

# 3. Every bit of each structure, and ten thousand bits of whole logs.
flips() { thinking every_flipped_bit flipped_bits; }

# 2. A process killed at random moments, on the real disk.
kills() { WEFT_CRASH_ROUNDS=$rounds log_tests log-bench what_was_acknowledged_survives_a_kill; }

# 8. Faults of single steps, and of whole file systems.
faults() { log_tests log-bench disk::fault_tests disk::store; }
mounts() { WEFT_CRASH_ROUNDS=$rounds log_tests log-faults --test-threads=1 mount_; }

# 4. to 7. Each beside the bare device in the same run.
append() { log_tests log-bench bench_append; }
fio() { # appends and reads in turns with fio, on one CPU each time
  command -v fio >/dev/null || {
    echo "fio is missing: install it (apt-get install -y fio), then run this step again"
    return 1
  }
  [ -n "${WEFT_LOG_TESTS:-}" ] ||
    cargo test --quiet --release --features testing,log-bench --lib --no-run || return
  on_last_cpu log_tests log-bench --test-threads=1 bench_fio
}

on_last_cpu() { # COMMAND…: and whatever it starts
  (taskset -cp "$(($(nproc) - 1))" "$BASHPID" >/dev/null && "$@")
}

streams() { log_tests log-bench bench_streams; }
recovery() { log_tests log-bench --test-threads=1 bench_recovery bench_empty; }
memory() { log_tests log-bench --test-threads=1 bench_subjects bench_cold; }
overwrite() { log_tests log-bench bench_overwrite; }
drain() { log_tests log-bench bench_drain; }
eternal() { log_tests log-bench bench_eternal; }
lone() { log_tests log-bench bench_lone; }

# The broker itself: its store directory, its restarts, its refusals.
store() { cargo test --quiet --release --test store; }
store_mounts() { cargo test --quiet --release --features log-faults --test store mounted; }

for step in ${*:-sim cores mutations flips kills faults mounts append fio streams recovery memory overwrite drain eternal lone store store_mounts}; do
  record "$step" "$step"
done
echo "steps failed: $failed"
((failed == 0))
