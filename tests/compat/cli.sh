#!/usr/bin/env bash
# The `nats` CLI against a server: what it prints and how it exits, with 1, 2 and 4 shards.
#   tests/compat/cli.sh [SERVER]       default: WEFT_TEST_SERVER, else target/release/weft
# The tools come from scripts/install-ci-tools.sh. What says nothing about us (errors where there is
# no JetStream, the account's description) is compared with what the CLI prints of nats-server.
set -uo pipefail
cd "$(dirname "$0")/../.."

other=${1:-${WEFT_TEST_SERVER:-}}
server=${other:-$PWD/target/release/weft}
shard_counts=${WEFT_TEST_SHARDS:-1,2,4}
if [[ -n $other && -z ${WEFT_TEST_SHARDS:-} ]]; then shard_counts=none; fi
reference=$PWD/.cache/venv/bin/nats-server
nats=$PWD/.cache/bin/nats
. tests/compat/cli-support.sh

exits() { # CODE COMMAND…
  local want=$1 got
  shift
  "$@"
  got=$?
  [[ $got == "$want" ]] || { echo "exit code $got, expected $want"; return 1; }
}

listening() { # SUBJECT: until somebody is subscribed to it
  for _ in $(seq 100); do
    cli request "$1" '' --timeout 200ms 2>&1 | grep -q 'No responders' || return 0
    sleep 0.05
  done
  return 1
}

# A subscriber must be there before the publisher: the CLI says when it is.
started() { # FILE PATTERN
  for _ in $(seq 200); do
    grep -Eq -- "$2" "$1" 2>/dev/null && { sleep 0.2; return 0; }
    sleep 0.05
  done
  echo "did not start: $(cat "$1")"
  return 1
}

pub_and_sub() {
  cli sub 'cli.*' --count 5 >"$scratch/sub" 2>&1 &
  local sub=$!
  started "$scratch/sub" 'Subscribing on' || return 1
  prints 'Published 5 bytes to "cli.x"' cli pub cli.x hello --count 5 -H Key:Value || return 1
  wait "$sub" || { echo "sub ended with $?"; return 1; }
  local got
  got=$(grep -c 'hello' "$scratch/sub")
  ((got == 5)) || { echo "sub got $got of 5: $(cat "$scratch/sub")"; return 1; }
  grep -q 'Key: Value' "$scratch/sub" || { echo "no header in: $(cat "$scratch/sub")"; return 1; }
}

queue_sub() {
  local member members=()
  for member in 1 2 3; do
    cli sub cli.work --queue crew >"$scratch/crew$member" 2>&1 &
    members+=($!)
  done
  for member in 1 2 3; do started "$scratch/crew$member" 'Subscribing on' || return 1; done
  cli pub cli.work task --count 60 >/dev/null 2>&1 || return 1
  for _ in $(seq 100); do
    (($(cat "$scratch"/crew? | grep -c '^task') >= 60)) && break
    sleep 0.05
  done
  kill "${members[@]}" 2>/dev/null
  wait "${members[@]}" 2>/dev/null
  local got
  got=$(cat "$scratch"/crew? | grep -c '^task')
  ((got == 60)) || { echo "the crew got $got of 60"; return 1; }
}

request_and_reply() {
  cli reply cli.service 'answer to {{Request}}' --count 3 >"$scratch/reply" 2>&1 &
  local reply=$!
  started "$scratch/reply" 'Listening on' || return 1
  local n
  for n in 1 2 3; do
    prints "answer to question$n" cli request cli.service "question$n" --timeout 5s || return 1
  done
  kill "$reply" 2>/dev/null
  wait "$reply" 2>/dev/null
  true
}

bench_pub_sub() { # CLIENTS SIZE
  cli bench sub "cli.bench.$1" --msgs 20000 --size "$2" --clients "$1" --no-progress >"$scratch/bench" 2>&1 &
  local sub=$!
  started "$scratch/bench" "\[$1\] Starting Core NATS subscriber" || return 1
  prints 'publisher stats: .* msgs/sec' cli bench pub "cli.bench.$1" --msgs 20000 --size "$2" --no-progress || return 1
  wait "$sub" || { echo "bench sub ended with $?: $(cat "$scratch/bench")"; return 1; }
  grep -Eq 'subscriber (aggregated )?stats: .* msgs/sec' "$scratch/bench"
}

bench_service() {
  cli bench service serve cli.bench.service --size 16 --clients 2 --no-progress >"$scratch/serve" 2>&1 &
  local serve=$!
  started "$scratch/serve" 'Starting' || return 1
  listening cli.bench.service || { echo "the service does not listen"; return 1; }
  prints 'requester aggregated stats: .* msgs/sec' \
    cli bench service request cli.bench.service --msgs 1000 --clients 4 --no-progress || return 1
  kill "$serve" 2>/dev/null
  wait "$serve" 2>/dev/null
  true
}

# Identities, times and places differ from server to server and run to run.
masked() {
  sed -E -e 's/N[A-Z2-7]{55}/ID/g' -e 's/[0-9.]+(ns|µs|ms|s)\b/TIME/g' -e 's/127\.0\.0\.1:[0-9]+/ADDRESS/g' \
    -e 's/(Client ID:) .*/\1 N/' -e 's/(=)[0-9.]+s/\1TIME/g' -e 's/[0-9]+:[0-9]+:[0-9]+ /CLOCK /g'
}

same_as_reference() { # COMMAND…: same output and exit code, identities masked
  local ours theirs
  ours=$(cli "$@" 2>&1; echo "exit code $?")
  theirs=$(url=$reference_url; cli "$@" 2>&1; echo "exit code $?")
  diff <(masked <<<"$theirs") <(masked <<<"$ours")
}

where=reference
launch reference "$reference" || exit 1
reference_url=$url

for shards in ${shard_counts//,/ }; do
  where="$shards shards"
  flags=()
  if [[ $shards != none ]]; then flags=(--shards "$shards"); fi
  launch "server-$shards" "$server" "${flags[@]}" || { failed=$((failed + 1)); continue; }
  check 'rtt' prints "$url: [0-9.]+.?s" cli rtt
  check 'pub and sub' pub_and_sub
  check 'sub with a queue' queue_sub
  check 'request and reply' request_and_reply
  check 'request without responders' prints 'No responders are available' cli request cli.nobody x
  check 'server check connection' prints '^OK Connection OK' cli server check connection
  check 'bench pub alone' prints 'publisher stats' cli bench pub cli.alone --msgs 20000 --no-progress
  check 'bench 1 to 1' bench_pub_sub 1 128
  check 'bench 1 to 4, 1 KiB' bench_pub_sub 4 1024
  check 'bench service' bench_service
  check 'account info' same_as_reference account info
  check 'stream ls without JetStream' same_as_reference stream ls
  check 'check jetstream without JetStream' same_as_reference server check jetstream
  check 'server info as an ordinary user' same_as_reference server info --timeout 1s
  check 'no server there' exits 1 "$nats" --server nats://127.0.0.1:1 pub a b
done

echo "cli: $passed passed, $failed failed"
((failed == 0 && passed > 0))
