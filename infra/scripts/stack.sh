#!/usr/bin/env bash
# Runs Warren with the chat example in the background, and stops exactly what it started.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=infra/scripts/process.sh
. "$here/process.sh"

usage() {
  cat <<'USAGE'
usage: infra/scripts/stack.sh up | down | status | try      (after a build: make up does both)

  up      get a broker (broker.sh up), start `warren serve all` and the chat example, wait until both
          are ready and print the address of the page; says so if they are running already
  down    stop what `up` started, the broker included if `up` started that too
  status  say what runs
  try     the chat example in the foreground, everything in one process on the embedded broker

environment
  WARREN_PORT, WARREN_METRICS_PORT, CHAT_PORT   ports (6001, 9601, 3000)
  WARREN_CONFIG       contracts (examples/chat/warren.yaml)
  STACK_DEADLINE_S    how long `up` waits for each of the two, in seconds (60)
  WARREN_RUN_DIR      where pids and logs go (.run); for the broker see broker.sh --help

exit status: 0 done or running · 1 failed · 2 wrong use · 3 not running
USAGE
}

run_dir=${WARREN_RUN_DIR:-$root/.run}
case $run_dir in /*) ;; *) run_dir=$PWD/$run_dir ;; esac
warren_port=${WARREN_PORT:-6001}
metrics_port=${WARREN_METRICS_PORT:-9601}
chat_port=${CHAT_PORT:-3000}
deadline_s=${STACK_DEADLINE_S:-60}
# Kubernetes service links set WARREN_PORT=tcp://…; Warren ignores that, and so do we.
case $warren_port in tcp://*) warren_port=6001 ;; esac

warren_host=${WARREN_HOST:-127.0.0.1}
case $warren_host in 0.0.0.0 | ::) warren_host=127.0.0.1 ;; *:*) warren_host="[$warren_host]" ;; esac
warren_ready=http://$warren_host:$warren_port/readyz
chat_ready=http://127.0.0.1:$chat_port/healthz
page=http://127.0.0.1:$chat_port/

say() { printf '%s\n' "$@"; }
fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

ready() { node "$here/http-ready.mjs" "$1"; }

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

need_free_port() { # need_free_port PORT VARIABLE
  port_is_taken "$1" || return 0
  fail "port $1 is taken by something that 'make up' did not start." \
    "Stop that, or choose another port: $2=$(($1 + 1)) make up"
}

need_file() {
  [ -e "$root/$1" ] || fail "$1 is missing: run 'make up', which builds first, rather than this script alone"
}

# start NAME WORD COMMAND…: in the background; WORD is a part of its command line (see process.sh).
start() {
  local name=$1 word=$2
  shift 2
  say "starting $name (log: $run_dir/$name.log)"
  process_launch "$run_dir/$name.pid" "$word" "$run_dir/$name.log" "$root" -- \
    infra/scripts/broker.sh exec "$@" || give_up "$name" 'it could not be started'
}

# What this call started and has not yet seen ready; a failed `up` leaves no half of it running.
started=''

give_up() { # give_up NAME WHY
  local name
  printf '%s\n' "--- the end of $run_dir/$1.log" >&2
  tail -n 40 "$run_dir/$1.log" >&2 || true
  printf '%s\n' "---" "$1 did not become ready: $2" >&2
  for name in $started; do stop "$name" >&2; done
  fail "The log is above. 'make broker-status' says whether the broker answers, 'bin/warren doctor' looks further;" \
    "'make down' stops a broker that 'make up' started."
}

wait_until_ready() { # wait_until_ready NAME URL
  local began=$SECONDS said=0 why
  until why=$(ready "$2"); do
    process_alive "$run_dir/$1.pid" || give_up "$1" 'it ended'
    [ $((SECONDS - began)) -lt "$deadline_s" ] || give_up "$1" "$why, for $deadline_s s"
    if [ $((SECONDS - began)) -ge $((said + 5)) ]; then
      said=$((SECONDS - began))
      say "… waiting for $1 ($said s): $why"
    fi
    sleep 0.3
  done
}

stop_s() {
  local drain_ms=${WARREN_DRAIN_MS:-30000}
  case $drain_ms in *[!0-9]*) drain_ms=30000 ;; esac
  # The promise is an end within the drain time; the rest is for a busy machine.
  echo $((drain_ms / 1000 + 5))
}

stop() { # stop NAME
  local result=0 pid
  [ -f "$run_dir/$1.pid" ] || return 0
  pid=$(record_get "$run_dir/$1.pid" pid)
  ! process_alive "$run_dir/$1.pid" || say "stopping $1 (pid $pid)"
  process_stop "$run_dir/$1.pid" "$(stop_s)" || result=$?
  case $result in
    1) say "$1 did not stop within $(stop_s) s and was killed" ;;
    2) say "$1 had already ended" ;;
  esac
}

up() {
  local fresh=no
  mkdir -p "$run_dir"
  case ${WARREN_BROKER_URL:-} in
    memory:*) fail "WARREN_BROKER_URL is memory:, a broker inside one process; 'make up' runs several. Use: make try" ;;
  esac
  need_file bin/warren
  need_file dist/examples/chat/main.js
  lock "$run_dir/stack.lock" stack.sh
  trap 'unlock "$run_dir/stack.lock"' EXIT

  # All ports before anything starts: nobody should wait for a broker to read that one is taken.
  if ! process_alive "$run_dir/warren.pid"; then
    need_free_port "$warren_port" WARREN_PORT
    need_free_port "$metrics_port" WARREN_METRICS_PORT
  fi
  process_alive "$run_dir/chat.pid" || need_free_port "$chat_port" CHAT_PORT

  "$here/broker.sh" up
  export WARREN_CONFIG=${WARREN_CONFIG:-examples/chat/warren.yaml}
  if ! process_alive "$run_dir/warren.pid"; then
    fresh=yes
    started=warren
    start warren 'serve all' bin/warren serve all
  fi
  wait_until_ready warren "$warren_ready"
  if ! process_alive "$run_dir/chat.pid"; then
    fresh=yes
    started="chat $started"
    start chat examples/chat/main.js node dist/examples/chat/main.js
  fi
  wait_until_ready chat "$chat_ready"

  if [ "$fresh" = yes ]; then
    say '' "Warren is up. Open $page" '' \
      "Logs: $run_dir/warren.log, $run_dir/chat.log. Stop everything: make down"
  else
    say "Warren is already running: $page"
  fi
}

down() {
  mkdir -p "$run_dir"
  lock "$run_dir/stack.lock" stack.sh
  trap 'unlock "$run_dir/stack.lock"' EXIT
  # Against the direction of the events: nobody publishes into what is going away.
  stop chat
  stop warren
  "$here/broker.sh" down
}

status() {
  local name url why result=0
  for name in warren chat; do
    url=$warren_ready
    [ "$name" = warren ] || url=$chat_ready
    if ! process_alive "$run_dir/$name.pid"; then
      say "$name: not running"
      result=3
    elif why=$(ready "$url"); then
      say "$name: ready (pid $(record_get "$run_dir/$name.pid" pid))"
    else
      say "$name: running, not ready: $why"
      result=3
    fi
  done
  "$here/broker.sh" status || result=3
  exit "$result"
}

try() {
  need_file dist/examples/chat/main.js
  cd "$root"
  exec env -u WARREN_RUN_DIR -u WARREN_BROKER_PORT -u WARREN_BROKER_VIA -u WARREN_BROKER_DEADLINE_S \
    node dist/examples/chat/main.js --embedded
}

case ${1:-} in
  -h | --help | help)
    usage
    exit 0 ;;
  up | down | status | try)
    [ $# -eq 1 ] || { usage >&2; exit 2; } ;;
  *)
    usage >&2
    exit 2 ;;
esac
"$here/need-node.sh"
"$1"
