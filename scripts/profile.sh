# Sourced by the check scripts: where a server's CPU goes under one workload of the harness. Wants
# $harness and $results, the folder of the records. `perf` is wanted.

profiled() { # SHAPE NAME SERVER [OPTIONS OF THE SERVER…]: shares of the kernel and of the server
  local shape=$1 name=$2 server_pid load status=0
  shift 2
  "$@" -a 127.0.0.1 -p 14222 2>/dev/null &
  server_pid=$!
  sleep 1
  # shellcheck disable=SC2086 # words
  "$harness" $shape --seconds 6 --server "$name=@127.0.0.1:14222" >"$results/load.log" &
  load=$!
  sleep 2
  perf record -q -g -p "$server_pid" -o "$results/perf.data" -- sleep 4 2>/dev/null || status=1
  wait "$load" || status=1
  kill "$server_pid"
  wait "$server_pid"
  echo "== $shape, $name"
  grep -E " $name " "$results/load.log" | tail -1
  shares --no-children --sort dso | head -4
  echo "system calls, with all that they cause:"
  shares --children --sort symbol | grep -E '\] (__x64_sys_|__do_sys_|ksys_)' | head -6
  echo "in the kernel:"
  shares --no-children --sort symbol --dsos '[kernel.kallsyms]' | head -6
  if [[ $name == weft ]]; then
    echo "in the server:"
    shares --no-children --sort symbol --dsos weft | head -8
  fi
  rm -f "$results"/perf.data* "$results/load.log"
  return $status
}

shares() { # OPTIONS…: of perf report
  perf report -i "$results/perf.data" --stdio -g none --percent-limit 1 "$@" 2>/dev/null |
    sed -nE 's/ +- +- *$//; s/^( +[0-9].*[^ ]) *$/\1/p'
}
