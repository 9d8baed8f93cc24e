#!/usr/bin/env bash
# weft and nats-server under `nats bench`, in turn: what the CLI's users will see. About five
# minutes. One line per benchmark and server, the CLI's own words.
#   scripts/compare-nats-bench.sh [MESSAGES]     200000 by default
# WEFT, NATS_SERVER and NATS name binaries; otherwise target/release/weft is built and the tools
# are those of scripts/install-ci-tools.sh. The client takes more CPU than the server: for what a
# server can do, see scripts/compare.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

messages=${1:-200000}
nats=${NATS:-.cache/bin/nats}
reference=${NATS_SERVER:-.cache/venv/bin/nats-server}
if ! [ -x "$nats" ] || ! [ -x "$reference" ]; then
  scripts/install-ci-tools.sh >&2
fi
if [ -z "${WEFT:-}" ]; then
  cargo build --release
  WEFT=target/release/weft
fi

folder=$(mktemp -d)
server_pid=
stop() {
  if [ -n "$server_pid" ]; then
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
  fi
}
trap 'stop; rm -rf "$folder"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

start() { # BINARY: on an empty store
  rm -rf "$folder/store"
  "$1" -a 127.0.0.1 -p "$port" -js -sd "$folder/store" >"$folder/server.log" 2>&1 &
  server_pid=$!
  for _ in $(seq 100); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "compare-nats-bench: the server does not answer" >&2
  cat "$folder/server.log" >&2
  return 1
}

bench() { # the words after `nats bench`
  "$nats" -s "nats://127.0.0.1:$port" bench "$@" --no-progress 2>&1
}

report() { # SERVER WHAT: the last line of statistics on standard input
  local line
  line=$(grep -a 'stats' | tail -1 || true)
  printf '%-7s %-26s %s\n' "$1" "$2" "${line:-failed}"
}

run() { # NAME BINARY
  local name=$1 subscriber few=$((messages / 10))
  start "$2"
  bench pub bench.x --msgs "$messages" | report "$name" 'pub'
  bench sub bench.x --msgs "$messages" >"$folder/sub.log" &
  subscriber=$!
  sleep 1
  bench pub bench.x --msgs "$messages" >/dev/null
  if timeout 60 tail --pid="$subscriber" -f /dev/null; then
    wait "$subscriber" || true
    report "$name" 'pub, sub' <"$folder/sub.log"
  else
    kill "$subscriber"
    printf '%-7s %-26s %s\n' "$name" 'pub, sub' 'the subscriber did not get everything'
  fi
  bench js pub sync bench.sync --stream sync --create --msgs "$few" | report "$name" 'js pub sync'
  bench js pub async bench.async --stream async --create --msgs "$messages" | report "$name" 'js pub async'
  bench js ordered --stream async --msgs "$messages" | report "$name" 'js ordered'
  bench js consume --stream async --msgs "$messages" | report "$name" 'js consume'
  bench js fetch --stream async --msgs "$messages" | report "$name" 'js fetch'
  bench kv put --msgs "$few" | report "$name" 'kv put'
  bench kv get --msgs "$few" | report "$name" 'kv get'
  stop
}

for round in 1 2; do
  echo "round $round"
  run weft "$WEFT"
  run nats "$reference"
done
