# Sourced by the check scripts: runs a step and writes down what it said, with the date and the
# commit. Wants $results, the folder of the records; counts in $failed the steps that failed.
failed=0

record() { # STEP COMMAND…
  local step=$1 status
  shift
  echo "== $step"
  {
    echo "# $step"
    echo
    echo "$(date -u +%FT%TZ), commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!bench-harness/results' || echo ' (changed)'), $(nproc) CPUs, Linux $(uname -r)"
    echo
    echo '```'
    "$@" 2>&1
    status=$?
    echo '```'
    echo
    echo "exit code $status"
  } >"$results/$step.md"
  # Neither a path of this machine is recorded, nor what the compiler says.
  sed -i -e "s#$PWD#.#g" -e '/^warning: /,/^$/d' "$results/$step.md"
  tail -3 "$results/$step.md"
  grep -q '^exit code 0$' "$results/$step.md" || failed=$((failed + 1))
}
