#!/usr/bin/env bash
# Real clients against the release binary: nats-py and the `nats` CLI, beside each other.
#   scripts/compat.sh                              against target/release/weft, which it builds
#   WEFT_TEST_SERVER=…/nats-server scripts/compat.sh   against another server
#   WEFT_SKIP_COMPAT=1 scripts/compat.sh           skips it, and says so (never in CI)
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${WEFT_SKIP_COMPAT:-} == 1 ]]; then
  echo "compat: skipped, because WEFT_SKIP_COMPAT=1"
  exit 0
fi
scripts/install-ci-tools.sh
if [[ -z ${WEFT_TEST_SERVER:-} ]]; then cargo build --release --workspace --bins; fi

command_line() {
  local status=0
  tests/compat/cli.sh || status=1
  WEFT_TEST_SHARDS=${WEFT_TEST_SHARDS:-2} tests/compat/cli-jetstream.sh "${WEFT_TEST_SERVER:-$PWD/target/release/weft}" same || status=1
  return $status
}

status=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT
command_line >"$said" 2>&1 &
(cd tests/compat/python && PYTHONDONTWRITEBYTECODE=1 ../../../.cache/venv/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal) || status=1
wait $! || status=1
cat "$said"
exit $status
