# Sourced by the checks of the `nats` CLI: servers to run it against, and ways to look at what it
# prints. Wants $server, $reference and $nats, which must be programs; sets $scratch.
for tool in "$server" "$reference" "$nats"; do
  [[ -x $tool ]] || { echo "cli: $tool is missing (scripts/install-ci-tools.sh; cargo build --release)" >&2; exit 1; }
done

scratch=$(mktemp -d)
export HOME=$scratch XDG_CONFIG_HOME=$scratch/config
children=()
finish() {
  for child in "${children[@]}"; do kill -9 "$child" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$scratch"
}
trap finish EXIT

passed=0 failed=0 where=
check() { # NAME COMMAND…: counts whether the command succeeds; shows its output where it does not
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n%s\n' "$where" "$name" "$output"
  fi
}

launch() { # NAME BINARY FLAGS…: sets `url`
  local name=$1 log=$scratch/$1.log
  shift
  "$1" -a 127.0.0.1 -p -1 -l "$log" "${@:2}" >/dev/null 2>&1 &
  children+=($!)
  disown
  for _ in $(seq 400); do
    if grep -q 'Server is ready' "$log" 2>/dev/null; then
      url=nats://127.0.0.1:$(sed -n 's/.*Listening for client connections on .*:\([0-9]*\).*/\1/p' "$log")
      return 0
    fi
    sleep 0.05
  done
  echo "cli: $name did not get ready: $(cat "$log" 2>/dev/null)" >&2
  return 1
}

cli() { timeout 60 "$nats" --server "$url" "$@"; }

prints() { # PATTERN COMMAND…
  local pattern=$1 output
  shift
  output=$("$@" 2>&1) || { echo "exit code $?: $output"; return 1; }
  grep -Eq -- "$pattern" <<<"$output" || { echo "no '$pattern' in: $output"; return 1; }
}
