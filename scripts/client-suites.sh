#!/usr/bin/env bash
# The official clients' own test suites against a server binary: a developer's tool, not part of CI.
#   scripts/client-suites.sh python CHECKOUT-OF-NATS.PY [SERVER]
#   scripts/client-suites.sh rust   CHECKOUT-OF-NATS.RS [SERVER]
#   scripts/client-suites.sh go     CHECKOUT-OF-NATS.GO [SERVER]
# SERVER is target/release/weft unless given; the suites find it as `nats-server`, first on PATH.
# Writes one line per test (`pass NAME`, `fail NAME`, `skip NAME`) into $WEFT_SUITES_OUT (by default
# target/suites/BINARY), one file per project; compare two runs with `diff` or `comm`. With weft it fails
# where a test fails that is not in tests/compat/suites-failing.txt.
# The suites use fixed ports (4222 and others): they run in a network namespace of their own where
# this user may make one, else the ports must be free. tests/compat/suites.md says what must pass.
#   WEFT_SUITES_ONLY=nats-core   one project      WEFT_SUITES_FILTER=…   pytest -k / test name filter
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
(($# >= 2)) || usage
suite=${1,,} checkout=$(cd "$2" && pwd)
server=$(readlink -f "${3:-$here/target/release/weft}")
[[ -x $server ]] || { echo "client-suites: $server is missing (cargo build --release)" >&2; exit 1; }

out=${WEFT_SUITES_OUT:-$here/target/suites/$(basename "$server")}
only=${WEFT_SUITES_ONLY:-}
mkdir -p "$out" "$here/.cache/suites/bin"
out=$(cd "$out" && pwd)
expected=$here/tests/compat/suites-failing.txt
status=0
path=$(mktemp -d)
trap 'rm -rf "$path"' EXIT
ln -s "$server" "$path/nats-server"
export PATH=$path:$PATH
nats-server --version

# An address beside 127.0.0.1, because the members of a cluster advertise no such one.
network='ip link set lo up && ip addr add 192.0.2.1/24 dev lo'

alone() { # COMMAND…: with ports of its own
  if unshare -n sh -c "$network" 2>/dev/null; then
    unshare -n sh -c "$network && exec \"\$@\"" sh "$@"
  else
    "$@"
  fi
}

wanted() { [[ -z $only || $only == "$1" ]]; }

count() { # PROJECT
  printf '%s: %s passed, %s failed, %s skipped (%s)\n' "$1" "$(grep -c '^pass ' "$out/$1.txt")" \
    "$(grep -c '^fail ' "$out/$1.txt")" "$(grep -c '^skip ' "$out/$1.txt")" "$out/$1.txt"
  # Of weft, what fails is written down with its reason; anything else is news.
  if [[ $(basename "$server") == weft ]]; then
    if sed -n 's/^fail //p' "$out/$1.txt" | grep -vxFf <(sed -n "s/^$1 //p" "$expected") | sed 's/^/not expected to fail: /'; then
      status=1
    fi
  fi
}

environment() { # NAME PACKAGES…: a venv; the newer projects need Python 3.13
  local venv=$here/.cache/suites/$1 python=${WEFT_SUITES_PYTHON:-python3.13}
  [[ -x $venv/bin/pytest ]] && return
  "$python" --version >/dev/null 2>&1 || { echo "client-suites: $python is missing (WEFT_SUITES_PYTHON)" >&2; exit 1; }
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet pytest pytest-asyncio pytest-timeout "${@:2}"
}

pytest_project() { # VENV PROJECT
  wanted "$2" || return 0
  (cd "$checkout/$2" && alone "$here/.cache/suites/$1/bin/pytest" -o asyncio_mode=auto -q --timeout 120 \
    -p no:cacheprovider ${WEFT_SUITES_FILTER:+-k "$WEFT_SUITES_FILTER"} --junitxml "$path/$2.xml" tests) >"$out/$2.log" 2>&1 || true
  python3 - "$path/$2.xml" >"$out/$2.txt" <<'P'
import sys
import xml.etree.ElementTree as tree

worst = {}
for case in tree.parse(sys.argv[1]).iter("testcase"):
    kinds = {child.tag for child in case}
    word = "fail" if kinds & {"failure", "error"} else "skip" if "skipped" in kinds else "pass"
    name = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
    # A test's subtests are cases of the same name: one that fails, fails it.
    worst[name] = min(word, worst.get(name, word))
for name, word in sorted(worst.items()):
    print(word, name)
P
  count "$2"
}

python_suites() {
  # Two environments: nats-py is a package `nats`, the others share a namespace of that name.
  environment nats nkeys aiohttp "$checkout/nats"
  environment nats-core nkeys websockets jsonschema pytest-benchmark \
    "$checkout/nats-server" "$checkout/nats-core" "$checkout/nats-jetstream" "$checkout/nats-key-value"
  pytest_project nats nats
  for project in nats-server nats-core nats-jetstream nats-key-value; do
    pytest_project nats-core "$project"
  done
}

rust_suite() {
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target/suites/nats.rs}
  cd "$checkout"
  # Built outside the namespace, which reaches no registry.
  nice cargo test --workspace --tests --lib --features slow_tests,websockets --no-run 2>&1 | tail -1
  # `websockets::core` tries for ever to reach a server that does not start.
  CARGO_NET_OFFLINE=true alone timeout 20m cargo test --no-fail-fast --workspace --tests --lib --features slow_tests,websockets \
    -- --test-threads=3 ${WEFT_SUITES_FILTER:-} >"$out/nats.rs.log" 2>&1 || true
  awk '/^ +Running / { match($0, /deps\/[a-z0-9_]+-/); target = substr($0, RSTART + 5, RLENGTH - 6) }
       /^test .* \.\.\. / { word = $NF == "ok" ? "pass" : $NF == "FAILED" ? "fail" : "skip"
                            print word, target "::" $2 }' "$out/nats.rs.log" | sort >"$out/nats.rs.txt"
  count nats.rs
}

# The packages whose tests want a server get each as a process of its own (go-suite-servers.py); the
# service itself is reached through the reference.
go_suite() {
  local package name
  cd "$checkout"
  for package in jetstream test micro; do
    name=go-$package
    wanted "$name" || continue
    [[ $package == test ]] || package=$package/test
    go test -modfile=go_test.mod -tags=internal_testing -vet=off -c -o "$path/$name.test" "./$package"
    cat >"$path/run.sh" <<'R'
"$REFERENCE" -a 127.0.0.1 -p 14999 2>/dev/null & broker=$!
sleep 1
"$PYTHON" "$SERVERS" nats://127.0.0.1:14999 >/dev/null & servers=$!
sleep 1
cd "$FOLDER" && TESTER_NATS_URL=nats://127.0.0.1:14999 "$TESTS" -test.v -test.timeout 40m ${FILTER:+-test.run "$FILTER"}
kill $servers && wait $servers
kill $broker
R
    REFERENCE=$here/.cache/venv/bin/nats-server PYTHON=$here/.cache/venv/bin/python SERVERS=$here/scripts/go-suite-servers.py \
      FOLDER=$checkout/$package TESTS=$path/$name.test FILTER=${WEFT_SUITES_FILTER:-} alone bash "$path/run.sh" >"$out/$name.log" 2>&1 || true
    awk '/^--- (PASS|FAIL|SKIP): / { print tolower(substr($2, 1, 4)), $3 }' "$out/$name.log" | sort >"$out/$name.txt"
    count "$name"
  done
}

case $suite in
  python) python_suites ;;
  go) go_suite ;;
  rust) rust_suite ;;
  *) usage ;;
esac
exit $status
