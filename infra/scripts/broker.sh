#!/usr/bin/env bash
# Gets Warren a local RabbitMQ, and stops again exactly what it started.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
infra=$root/infra
# shellcheck source=infra/scripts/process.sh
. "$here/process.sh"

usage() {
  cat <<'USAGE'
usage: infra/scripts/broker.sh up | down | status | reset | url | exec COMMAND…

  up      make sure a RabbitMQ answers: one that is already listening is used; else docker compose,
          if a Docker engine answers; else a rabbitmq-server of this machine, run as a plain process
          with its own data (apt-get or brew installs it when it is missing)
  down    stop the broker that `up` started; one that was there before is left alone
  status  say whether a broker answers, and who started it
  reset   delete Warren's exchanges and queues (infra/rabbitmq/definitions.json) and what they hold;
          only on a broker on this host
  url     print the URL that Warren should use
  exec    run a command with WARREN_BROKER_URL set accordingly

environment
  WARREN_BROKER_URL         where Warren looks for its broker; `up` can start one on 127.0.0.1 only
  WARREN_BROKER_PORT        port of the local broker, where WARREN_BROKER_URL is not set (5672)
  WARREN_BROKER_VIA         any | compose | native: how `up` may start one (any)
  WARREN_BROKER_DEADLINE_S  how long `up` waits for it to answer, in seconds (180)
  WARREN_RUN_DIR            where the state, the data and the logs go (.run)

exit status: 0 done or running · 1 failed · 2 wrong use · 3 no broker answers · 4 refused
             69 there is no way to get a broker on this machine
USAGE
}

run_dir=${WARREN_RUN_DIR:-$root/.run}
case $run_dir in /*) ;; *) run_dir=$PWD/$run_dir ;; esac
state=$run_dir/broker.state
deadline_s=${WARREN_BROKER_DEADLINE_S:-180}
compose_file=$infra/compose.yaml

say() { printf 'broker: %s\n' "$*"; }
fail() { # fail STATUS TEXT…
  local status=$1
  shift
  printf 'broker: %s\n' "$@" >&2
  exit "$status"
}
have() { command -v "$1" >/dev/null 2>&1; }

# --- where the broker is, or should be ---------------------------------------------------------------

url=''
target=''     # host:port, for messages: an URL may hold a password
port=''
startable=yes # may `up` start a broker for this URL?

find_target() {
  local remembered where host rest
  url=${WARREN_BROKER_URL:-}
  if [ -z "$url" ]; then
    # A broker that was started on another port is found again without the variable.
    remembered=$(record_get "$state" port)
    port=${WARREN_BROKER_PORT:-${remembered:-5672}}
    case $port in
      '' | *[!0-9]*) fail 2 "WARREN_BROKER_PORT must be a port number, not '$port'" ;;
    esac
    if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
      fail 2 "WARREN_BROKER_PORT must be between 1 and 65535, not $port"
    fi
    url=amqp://guest:guest@127.0.0.1:$port
    target=127.0.0.1:$port
    return
  fi
  case $url in memory:*) return ;; esac
  where=$(printf '%s' "$url" | node "$here/amqp-probe.mjs" where) || fail 2 "WARREN_BROKER_URL: $where"
  if printf '%s\n' "$where" | grep -q ' remote$'; then startable=no; fi
  read -r host port rest <<<"$where"
  case $url in amqps:*) startable=no ;; esac
  case $host in 127.0.0.1 | localhost) ;; *) startable=no ;; esac
  target=$host:$port
  if [ "${WARREN_BROKER_PORT:-$port}" != "$port" ]; then
    fail 2 "WARREN_BROKER_URL names port $port and WARREN_BROKER_PORT names $WARREN_BROKER_PORT: unset one of them"
  fi
}

is_memory() { case $url in memory:*) return 0 ;; *) return 1 ;; esac; }

probe_text=''
# Sets probe_text; returns the probe's exit status.
probe() {
  local status=0
  probe_text=$(printf '%s' "$url" | node "$here/amqp-probe.mjs") || status=$?
  return "$status"
}

# --- who started it ---------------------------------------------------------------------------------

compose() { # compose ARGUMENT…, for the project of this port
  local project=warren
  [ "$port" = 5672 ] || project=warren-$port
  WARREN_BROKER_PORT=$port WARREN_BROKER_MANAGEMENT_PORT=$(beside 10000) \
    docker compose -p "$project" -f "$compose_file" "$@"
}

started_by_us() {
  [ "$(record_get "$state" port)" = "$port" ] || return 1
  case $(record_get "$state" how) in
    native) process_alive "$state" ;;
    compose) [ -n "$(compose ps -q --status running rabbitmq 2>/dev/null)" ] ;;
    service) return 0 ;;
    *) return 1 ;;
  esac
}

how_started() {
  case $(record_get "$state" how) in
    native) echo "a rabbitmq-server process of its own, pid $(record_get "$state" pid)" ;;
    compose) echo 'docker compose' ;;
    service) echo 'the system service that the installation started' ;;
  esac
}

# beside OFFSET: a port that belongs to this broker's port. RabbitMQ's own rule for the distribution
# port is +20000; downwards where that is no port any more.
beside() {
  if [ $((port + $1)) -le 65535 ]; then echo $((port + $1)); else echo $((port - $1)); fi
}

# --- waiting ----------------------------------------------------------------------------------------

# At start-up Erlang names the reason first and buries it under its own stack; later the news is last.
show_logs() {
  local file=$run_dir/rabbitmq/startup.log
  if [ -s "$file" ]; then
    printf '%s\n' "--- $file begins" >&2
    head -n 15 "$file" >&2
  fi
  for file in "$run_dir"/rabbitmq/log/*.log; do
    [ -s "$file" ] || continue
    printf '%s\n' "--- $file ends" >&2
    tail -n 15 "$file" >&2
  done
  printf '%s\n' '---' >&2
}

# Waits till AMQP answers on $target; $1 says whether the thing that is being waited for still runs.
wait_for_amqp() {
  local still_running=$1 began=$SECONDS said=0 status
  while :; do
    status=0
    probe || status=$?
    case $status in
      0) return 0 ;;
      5)
        fail 1 "$probe_text" \
          'A broker that this script starts knows user guest with password guest on vhost "/" only.' ;;
    esac
    if ! "$still_running"; then
      show_logs
      forget
      fail 1 'RabbitMQ ended before it answered; the reason should be in the lines above'
    fi
    if [ $((SECONDS - began)) -ge "$deadline_s" ]; then
      show_logs
      fail 1 "no AMQP on $target after $deadline_s s: $probe_text" \
        "It is still running: wait and look again with '$0 status', or stop it with '$0 down'."
    fi
    if [ $((SECONDS - began)) -ge $((said + 5)) ]; then
      said=$((SECONDS - began))
      say "… still starting ($said s)"
    fi
    sleep 0.3
  done
}

# Drops the record of a broker that has ended, with what it left running.
forget() {
  local epmd_port
  [ "$(record_get "$state" how)" != compose ] || compose down >/dev/null 2>&1 || true
  epmd_port=$(record_get "$state" epmd_port)
  [ -z "$epmd_port" ] || stop_epmd "$epmd_port"
  rm -f "$state"
}

always() { return 0; }
native_runs() { process_alive "$state"; }
compose_runs() { started_by_us; }

# --- docker compose ---------------------------------------------------------------------------------

try_compose() {
  have docker || return 1
  # The client alone proves nothing, and a sick engine can hang.
  if ! bounded 10 docker info >/dev/null 2>&1; then
    say 'docker is installed, but no Docker engine answers'
    return 1
  fi
  if ! docker compose version >/dev/null 2>&1; then
    say 'a Docker engine answers, but it has no compose plugin'
    return 1
  fi
  say "starting RabbitMQ with docker compose on $target (the first time this downloads an image)"
  if ! compose up -d --wait rabbitmq; then
    compose logs --tail 25 rabbitmq >&2 || true
    compose down >/dev/null 2>&1 || true
    say 'docker compose could not start it'
    return 1
  fi
  printf '%s\n' how=compose "port=$port" >"$state"
  wait_for_amqp compose_runs
}

# --- a rabbitmq-server of this machine --------------------------------------------------------------

server=''
# Sets $server. Debian's and Fedora's /usr/sbin/rabbitmq-server is a wrapper that insists on root or user
# rabbitmq and on the system's folders, so the script behind it comes first.
find_server() {
  local candidate
  for candidate in \
    /usr/lib/rabbitmq/bin/rabbitmq-server \
    /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server \
    /usr/local/opt/rabbitmq/sbin/rabbitmq-server \
    /home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin/rabbitmq-server \
    "$(command -v rabbitmq-server || true)"; do
    if [ -x "$candidate" ]; then
      server=$candidate
      return 0
    fi
  done
  return 1
}

is_root() { [ "$(id -u)" = 0 ]; }
can_be_root() { is_root || { have sudo && sudo -n true >/dev/null 2>&1; }; }
as_root() { if is_root; then "$@"; else sudo -n "$@"; fi; }

policy=/usr/sbin/policy-rc.d
shielded=no
# Debian starts a service as it installs it, on port 5672 and with the system's data. Policy-rc.d is its
# way to say no (invoke-rc.d(8)). One that is already there stays, whatever it says.
shield() {
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  shielded=yes
}
unshield() {
  [ "$shielded" = yes ] || return 0
  as_root rm -f "$policy"
  shielded=no
}

system_service() { # start|stop|status of the packaged service
  if [ -d /run/systemd/system ]; then
    case $1 in
      status) systemctl is-active --quiet rabbitmq-server ;;
      *) as_root systemctl "$1" rabbitmq-server ;;
    esac
  else
    as_root service rabbitmq-server "$1" >/dev/null 2>&1
  fi
}

apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rabbitmq-server; }

install_server() {
  if have apt-get && can_be_root; then
    say 'installing rabbitmq-server with apt-get (with Erlang about 100 MB)'
    shield
    # The lists of a fresh machine are missing or old; elsewhere the first attempt spares the update.
    if ! apt_install && ! { as_root apt-get update -q && apt_install; }; then
      unshield
      return 1
    fi
    unshield
    installed_now=yes
  elif have brew && ! is_root; then
    say 'installing rabbitmq with Homebrew'
    brew install rabbitmq || return 1
  else
    return 1
  fi
  find_server
}

installed_now=no
try_native() {
  if ! find_server; then
    install_server || return 1
    # A machine whose own policy lets services start has it running by now.
    if [ "$installed_now" = yes ] && system_service status; then
      if [ "$port" = 5672 ]; then
        say 'the installation started the system service; using that'
        printf '%s\n' how=service "port=$port" >"$state"
        wait_for_amqp always
        return 0
      fi
      system_service stop || true
    fi
  fi
  start_native
}

start_native() {
  local base=$run_dir/rabbitmq epmd_port dist_port limit
  dist_port=$(beside 20000)
  epmd_port=$(beside 25000)
  say "starting $server on $target (data and logs in $base)"
  mkdir -p "$base/home" "$base/mnesia" "$base/log" "$base/conf.d"
  # The Erlang cookie is a key to the node.
  chmod 700 "$base/home"
  rm -f "$base"/log/*.log

  cat >"$base/conf.d/90-native.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$port
load_definitions = $infra/rabbitmq/definitions.json
CONF
  echo '[].' >"$base/enabled_plugins"
  # Present and empty: otherwise /etc/rabbitmq/rabbitmq-env.conf of the machine would be read.
  : >"$base/rabbitmq-env.conf"

  # Erlang tables and start-up time grow with this limit, and some machines set it to a billion.
  limit=$(ulimit -Hn)
  if [ "$limit" = unlimited ] || [ "$limit" -gt 65536 ]; then limit=65536; fi

  # A clean environment, because every RABBITMQ_* and ERL_* name of the caller's would count.
  # `detached` makes RabbitMQ's script replace itself by the Erlang VM, so the pid is the broker's.
  # shellcheck disable=SC2016
  if ! process_launch "$state" rabbit "$base/startup.log" "$base" \
    how=native "port=$port" "epmd_port=$epmd_port" -- \
    bash -c 'ulimit -n "$0" && exec "$@"' "$limit" \
    env -i PATH="$PATH:/usr/sbin:/sbin" LANG="${LANG:-C.UTF-8}" HOME="$base/home" detached=true \
    ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP="$base/log/erl_crash.dump" \
    RABBITMQ_CONF_ENV_FILE="$base/rabbitmq-env.conf" \
    RABBITMQ_NODENAME="warren-$port@localhost" \
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT="$dist_port" \
    RABBITMQ_MNESIA_BASE="$base/mnesia" RABBITMQ_LOG_BASE="$base/log" \
    RABBITMQ_SCHEMA_DIR="$base/schema" RABBITMQ_GENERATED_CONFIG_DIR="$base/generated" \
    RABBITMQ_PID_FILE="$base/rabbitmq.pid" RABBITMQ_ENABLED_PLUGINS_FILE="$base/enabled_plugins" \
    RABBITMQ_CONFIG_FILE="$infra/rabbitmq/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$base/conf.d" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$base/advanced.config" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    "$server"; then
    show_logs
    stop_epmd "$epmd_port"
    fail 1 "$server could not be started"
  fi
  wait_for_amqp native_runs
}

# RabbitMQ starts Erlang's port mapper and leaves it behind. It refuses to go while a node is
# registered, so this can only stop one that nobody needs.
stop_epmd() {
  local epmd
  for epmd in "$(command -v epmd || true)" /usr/lib/erlang/bin/epmd /opt/homebrew/opt/erlang*/bin/epmd; do
    [ -x "$epmd" ] || continue
    bounded 10 "$epmd" -port "$1" -kill >/dev/null 2>&1 || true
    return 0
  done
}

# --- the subcommands --------------------------------------------------------------------------------

up() {
  local status=0 began via=${WARREN_BROKER_VIA:-any}
  find_target
  if is_memory; then
    say 'WARREN_BROKER_URL is memory: – the embedded broker needs nothing'
    return
  fi
  case $via in any | compose | native) ;; *) fail 2 "WARREN_BROKER_VIA must be any, compose or native, not '$via'" ;; esac
  mkdir -p "$run_dir"
  lock "$run_dir/broker.lock" broker.sh
  trap 'unshield; unlock "$run_dir/broker.lock"' EXIT

  probe || status=$?
  began=$SECONDS
  # The proxy of a container that is just starting accepts and says nothing.
  while [ "$status" = 4 ] && [ $((SECONDS - began)) -lt 15 ]; do
    sleep 0.5
    status=0
    probe || status=$?
  done
  case $status in
    0)
      if started_by_us; then
        say "already up: $probe_text, started earlier with $(how_started)"
      else
        say "using the broker that is already there: $probe_text (it isn't ours, so 'down' leaves it alone)"
        # The record of another broker of ours, on another port, must not be forgotten.
        [ "$(record_get "$state" port)" != "$port" ] || rm -f "$state"
      fi
      return ;;
    2) fail 2 "$probe_text" ;;
    4) fail 1 "$probe_text" \
      'Free that port, or name another: WARREN_BROKER_PORT=5673 make up' ;;
    5) fail 1 "$probe_text" \
      'Put a user it knows into WARREN_BROKER_URL (amqp://user:password@host:port), or start another broker' \
      'beside it: WARREN_BROKER_PORT=5673 make up' ;;
  esac

  [ "$startable" = yes ] || fail 3 "no broker answers: $probe_text" \
    'WARREN_BROKER_URL names a broker that this script cannot start (only amqp:// on 127.0.0.1). Start that one,' \
    'or unset WARREN_BROKER_URL to get a local broker.'

  if [ -f "$state" ]; then
    if [ "$(record_get "$state" how)" = native ] && process_alive "$state"; then
      [ "$(record_get "$state" port)" = "$port" ] || fail 1 \
        "$run_dir already runs a broker, on port $(record_get "$state" port): stop it with '$0 down', or set another WARREN_RUN_DIR"
      say "it is already starting (pid $(record_get "$state" pid)); waiting"
      wait_for_amqp native_runs
      say "up: $probe_text"
      return
    fi
    # Whatever it was has ended, perhaps with the machine.
    forget
  fi

  say "nothing listens on $target"
  if [ "$via" != native ] && try_compose; then
    :
  elif [ "$via" != compose ] && try_native; then
    :
  else
    [ "$via" = any ] || say "WARREN_BROKER_VIA=$via allows no other way"
    fail 69 'found no way to start a RabbitMQ here. Any one of these will do, then run this again:' \
      '  - start Docker (with its compose plugin)' \
      '  - Debian, Ubuntu:  sudo apt-get install rabbitmq-server' \
      '  - macOS:           brew install rabbitmq' \
      '  - use one elsewhere: export WARREN_BROKER_URL=amqp://user:password@host:5672' \
      'Or try Warren without any RabbitMQ: make try'
  fi
  say "up: $probe_text"
}

down() {
  local how result=0 was
  if [ ! -f "$state" ]; then
    find_target
    if ! is_memory && probe; then
      say "leaving $probe_text alone: it was not started from here"
    else
      say 'nothing to stop'
    fi
    return
  fi
  lock "$run_dir/broker.lock" broker.sh
  trap 'unlock "$run_dir/broker.lock"' EXIT
  how=$(record_get "$state" how)
  port=$(record_get "$state" port)
  was="RabbitMQ on port $port"
  case $how in
    native)
      local epmd_port
      epmd_port=$(record_get "$state" epmd_port)
      ! process_alive "$state" || say "stopping $was (pid $(record_get "$state" pid))"
      # RabbitMQ hands its queues over and flushes; killing it earlier risks a slow next start.
      process_stop "$state" 30 || result=$?
      [ -z "$epmd_port" ] || stop_epmd "$epmd_port"
      case $result in
        1) say "$was did not stop within 30 s and was killed" ;;
        2) say "$was had already ended" ;;
        *) say 'stopped' ;;
      esac ;;
    compose)
      say "stopping $was (docker compose; its data stays in a volume)"
      compose down || fail 1 'docker compose could not stop it; its message is above'
      rm -f "$state" ;;
    service)
      say "stopping $was (system service)"
      system_service stop || fail 1 "could not stop it; as root: service rabbitmq-server stop"
      rm -f "$state" ;;
    *) rm -f "$state" ;;
  esac
}

status() {
  local result=0
  find_target
  if is_memory; then
    say 'WARREN_BROKER_URL is memory: – the embedded broker lives inside Warren'
    return
  fi
  probe || result=$?
  case $result in
    0)
      if started_by_us; then
        say "up: $probe_text, started with $(how_started)"
      else
        say "up: $probe_text, not started from here"
      fi ;;
    3) say "no broker on $target"; exit 3 ;;
    *) say "$probe_text"; exit 3 ;;
  esac
}

reset() {
  local result=0
  find_target
  if is_memory; then
    say 'WARREN_BROKER_URL is memory: – nothing outlives the process'
    return
  fi
  [ -d "$root/node_modules/amqplib" ] || fail 1 'the packages are missing: run make install first'
  printf '%s' "$url" | node "$here/broker-reset.mjs" "$infra/rabbitmq/definitions.json" || result=$?
  exit "$result"
}

case ${1:-} in
  -h | --help | help)
    usage
    exit 0 ;;
  up | down | status | reset | url)
    [ $# -eq 1 ] || { usage >&2; exit 2; } ;;
  exec)
    [ $# -ge 2 ] || { usage >&2; exit 2; } ;;
  *)
    usage >&2
    exit 2 ;;
esac

"$here/need-node.sh"
case $1 in
  url)
    find_target
    printf '%s\n' "$url" ;;
  exec)
    shift
    find_target
    # Warren refuses WARREN_* names it doesn't know, so what only these scripts read goes no further.
    # The default is left unsaid: a test of the settings must not find it set.
    if [ -z "${WARREN_BROKER_URL:-}" ] && [ "$port" != 5672 ]; then export WARREN_BROKER_URL=$url; fi
    unset WARREN_BROKER_PORT WARREN_BROKER_VIA WARREN_BROKER_DEADLINE_S WARREN_RUN_DIR
    exec "$@" ;;
  *) "$1" ;;
esac
