#!/usr/bin/env bash
# The `nats` CLI's streams, consumers, buckets and object stores: the same commands against a server
# and against nats-server print the same, times and identities masked. Then every `nats bench` of
# JetStream ends well, on as many messages as it was told.
#   tests/compat/cli-jetstream.sh [SERVER] [same|bench]      default: target/release/weft, both
set -uo pipefail
cd "$(dirname "$0")/../.."

server=${1:-${WEFT_TEST_SERVER:-$PWD/target/release/weft}}
parts=${2:-same bench}
reference=$PWD/.cache/venv/bin/nats-server
nats=$PWD/.cache/bin/nats
. tests/compat/cli-support.sh

# Times, ages, identities, tables' widths, and what a file takes on disk.
masked() {
  # The CLI's comparisons are indented with one kind of blank or the other, by chance. A progress bar is drawn where something takes long enough.
  sed -E -e $'s/\u00a0/ /g' -e '/ done! \[/d' -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9:]+)?( (UTC|GMT))?/TIME/g' -e 's/\b[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?\b/TIME/g' \
    -e 's/\b[0-9.]+(ns|µs|ms|s|m|h)([0-9.]+(ns|µs|ms|s|m))*\b/AGE/g' -e 's/(in|for|ago) +(less than )?AGE/AGE/g' \
    -e 's/N[A-Z2-7]{55}/ID/g' -e 's/127\.0\.0\.1:[0-9]+/ADDRESS/g' -e 's/(Client ID:) .*/\1 N/' \
    -e 's/("(created|ts|last_active|first_ts|last_ts|time|mtime|leader|cluster_name|nuid|last_seen)": ?)("[^"]*"|[0-9]+)/\1MASKED/g' \
    -e "s#$scratch/[a-z]*#SCRATCH#g" -e 's/(Progress|Received|Sent|Restored|Backup).*/\1 …/' -e 's/(Leader|Cluster|Server|Name): +[A-Za-z0-9_-]*(weft|ID|[A-Z0-9]{20,})[A-Za-z0-9_-]*$/\1: MASKED/' \
    -e 's/[A-Za-z0-9]{22}/NUID/g' -e 's/[─━═╭╮╰╯│├┤┬┴┼ ]+/ /g' -e 's/ +$//'
}

same() { # COMMAND…: same output and exit code
  local ours theirs
  ours=$(url=$our_url cli "$@" 2>&1; echo "exit code $?")
  theirs=$(url=$reference_url cli "$@" 2>&1; echo "exit code $?")
  diff <(masked <<<"$theirs") <(masked <<<"$ours")
}

# One after the other, on both: each finds what those before it left.
compare() {
  local line words
  seq 20000 >"$scratch/blob"
  while read -r line; do
    [[ -z $line || $line == '#'* ]] && continue
    eval "words=($line)"
    check "$line" same "${words[@]}"
  done <<'LINES'
account info
stream ls
stream add ORDERS --subjects 'orders.>' --defaults --description 'all of them' --max-msgs 1000 --dupe-window 1m
stream add ORDERS --subjects 'orders.>' --defaults --max-msgs 2000
stream add BAD --subjects '>..' --defaults
stream add OVERLAP --subjects 'orders.1' --defaults
stream add MEM --subjects 'mem.*' --storage memory --discard new --max-msgs-per-subject 2 --defaults
pub -J orders.new 'one'
pub -J orders.new 'two' -H Nats-Msg-Id:a
pub -J orders.new 'two' -H Nats-Msg-Id:a
pub -J orders.old '{{Count}}' --count 5 --quiet
pub -J nobody.listens x
stream info ORDERS
stream info ORDERS --json
stream info NOPE
stream state ORDERS
stream subjects ORDERS
stream subjects ORDERS 'orders.n*'
stream subjects ORDERS --json
stream ls
stream ls --json
stream ls --names
stream report
stream find --subject orders.new --names
stream find --empty --names
stream get ORDERS 2
stream get ORDERS --last-for orders.old
stream get ORDERS 99
stream gaps ORDERS --force
stream rmm ORDERS 3 --force
stream gaps ORDERS --force
stream info ORDERS --json
stream edit ORDERS --max-msgs 500 --description 'some' --force
stream edit ORDERS --retention work --force
stream copy ORDERS COPY --subjects 'copy.>'
stream add MIRROR --mirror ORDERS --defaults
stream add WORK --subjects 'work.*' --retention work --defaults
consumer add ORDERS pull --pull --defaults --filter orders.new
consumer add ORDERS all --pull --deliver all --ack explicit --wait 5s --max-deliver 3 --max-pending 50 --replay instant --defaults
consumer add ORDERS push --target deliver.here --deliver last --ack none --heartbeat 5s --flow-control --defaults
consumer add ORDERS bad --pull --filter other --defaults
consumer add NOPE x --pull --defaults
consumer info ORDERS all
consumer info ORDERS push
consumer info ORDERS all --json
consumer info ORDERS NOPE
consumer ls ORDERS
consumer ls ORDERS --names
consumer report ORDERS
consumer find ORDERS --pull
consumer next ORDERS all --count 2 --ack --raw
consumer next ORDERS all --raw --nak
consumer next ORDERS pull --count 2 --raw
consumer state ORDERS all
consumer edit ORDERS all --max-pending 60 --force
consumer copy ORDERS all other --max-pending 70
consumer pause ORDERS all 1h --force
consumer resume ORDERS all --force
consumer unpin ORDERS all g --force
consumer rm ORDERS other --force
consumer rm ORDERS other --force
consumer cluster step-down ORDERS all
stream cluster step-down ORDERS
stream purge ORDERS --subject orders.new --force
stream purge ORDERS --keep 1 --force
stream backup ORDERS "$scratch/backup-$RANDOM" --no-progress
stream seal COPY --force
pub -J copy.x refused
stream rm COPY --force
stream rm NOPE --force
kv add B --history 5 --ttl 1h --description bucket
kv add B --history 3
kv ls
kv ls B
kv put B key.1 value
kv put B key.1 other
kv create B key.1 again
kv create B key.2 fresh
kv update B key.2 newer 3
kv update B key.2 newest 3
kv get B key.1
kv get B key.1 --raw
kv get B nope
kv history B key.1
kv del B key.2 --force
kv history B key.2
kv revert B key.1 1 --force
kv get B key.1 --raw
kv purge B key.1 --force
kv ls B
kv info B
kv compact B --force
kv edit B --description edited
kv del B --force
kv info B
object add O --description store
object put O "$scratch/blob" --name blob --no-progress
object info O
object info O blob
object ls O
object get O blob --output "$scratch/got" --no-progress --force
object put O "$scratch/blob" --name again --no-progress --force
object del O again --force
object ls O
object seal O --force
object put O "$scratch/blob" --name third --no-progress
object del O --force
object ls
account info
server check jetstream
server check stream --stream ORDERS --peer-expect 0
server check consumer --stream ORDERS --consumer all
stream rm MEM --force
stream ls --names
LINES
}

bench_one() { # MESSAGES COMMAND…: ends well, and says how fast
  prints 'stats: .* msgs/sec' cli bench "${@:2}" --msgs "$1" --no-progress
}

furnished() { # the consumers and the bucket that `nats bench` does not make itself
  local consumer
  cli kv info benchbucket >/dev/null 2>&1 || cli kv add benchbucket || return
  for consumer in all double fetch none; do
    local ack=explicit
    [[ $consumer == all || $consumer == none ]] && ack=$consumer
    cli consumer rm benchstream "$consumer" --force >/dev/null 2>&1
    cli consumer add benchstream "$consumer" --pull --ack "$ack" --defaults || return
  done
}

bench_all() {
  local size
  for size in 128 1024; do
    check "js pub sync $size" bench_one 1000 js pub sync bench.js --create --purge --size "$size"
    check "js pub async $size" bench_one 50000 js pub async bench.js --purge --size "$size" --batch 500
    check "js pub async, 4 clients, $size" bench_one 50000 js pub async bench.multi --create --purge --stream benchmulti --size "$size" --clients 4 --multisubject
    check "js pub batch $size" bench_one 50000 js pub batch bench.js --purge --size "$size"
    check "consumers and a bucket" furnished
    check "js ordered $size" bench_one 50000 js ordered --size "$size"
    check "js consume $size" bench_one 50000 js consume --size "$size"
    check "js consume, acks of all, $size" bench_one 50000 js consume --consumer all --acks all --size "$size"
    check "js consume, double acks, $size" bench_one 500 js consume --consumer double --doubleack --size "$size"
    check "js fetch $size" bench_one 50000 js fetch --consumer fetch --size "$size"
    check "js fetch, no acks, 4 clients, $size" bench_one 50000 js fetch --consumer none --acks none --clients 4 --size "$size"
    check "js get sync $size" bench_one 5000 js get sync --size "$size"
    check "js get batch $size" bench_one 50000 js get batch --size "$size"
    check "kv put $size" bench_one 1000 kv put --purge --size "$size"
    check "kv get $size" bench_one 1000 kv get --size "$size"
    check "kv get at random $size" bench_one 1000 kv get --randomize 500 --size "$size"
  done
}

where=reference
launch reference "$reference" -js -sd "$scratch/reference" || exit 1
reference_url=$url

shard_counts=${WEFT_TEST_SHARDS:-1,2,4}
[[ $(basename "$server") == nats-server ]] && shard_counts=none
for shards in ${shard_counts//,/ }; do
  where="$shards shards"
  flags=(-js -sd "$scratch/store$shards")
  [[ $shards != none ]] && flags+=(--shards "$shards")
  launch "server-$shards" "$server" "${flags[@]}" || { failed=$((failed + 1)); continue; }
  our_url=$url
  for part in $parts; do
    case $part in
      same) compare ;;
      bench) bench_all ;;
    esac
  done
  launch "reference-$shards" "$reference" -js -sd "$scratch/reference$shards" || exit 1
  reference_url=$url
done

echo "cli: $passed passed, $failed failed"
((failed == 0 && passed > 0))
