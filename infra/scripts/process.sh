# shellcheck shell=bash
# Remembers processes that outlive a script, and stops exactly those again. To be sourced (bash 3.2+).
#
# A pid alone proves nothing: the kernel hands numbers out again, and a state file survives a reboot.
# So a record holds the pid, the moment the process started and a word of its command line; whoever
# differs in any of them is a stranger and is never signalled. Expects $here, this folder.

# The moment process $1 started, in whatever unit the system counts; fails if it has ended.
# A zombie counts as ended: where pid 1 does not reap, it would otherwise be waited for in vain.
process_started() {
  local stat state
  if [ -r /proc/self/stat ]; then
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # proc(5): the second field is the name in brackets, which may itself hold blanks and brackets.
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    state=$1
    [ "$state" != Z ] && [ "$state" != X ] || return 1
    printf '%s\n' "${20}"
  else
    state=$(ps -o state= -p "$1" 2>/dev/null) || return 1
    case $state in Z*) return 1 ;; esac
    LC_ALL=C ps -o lstart= -p "$1" 2>/dev/null
  fi
}

process_command() {
  if [ -r "/proc/$1/cmdline" ]; then
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null
  else
    ps -o command= -p "$1" 2>/dev/null
  fi
}

# record_get FILE KEY: the value, or nothing.
record_get() {
  [ -f "$1" ] || return 0
  sed -n "s/^$2=//p" "$1" | head -n 1
}

# process_record FILE PID WORD [KEY=VALUE…]: WORD is a part of the command line that will stay.
process_record() {
  local file=$1 pid=$2 word=$3 started
  shift 3
  [ -n "$pid" ] && started=$(process_started "$pid") || return 1
  printf '%s\n' "pid=$pid" "started=$started" "word=$word" "$@" >"$file.new.$$"
  mv -f "$file.new.$$" "$file"
}

# process_launch FILE WORD LOG DIRECTORY [KEY=VALUE…] -- COMMAND…: starts it and records it. An interrupt
# in between ends the script only after the record is written. Fails if it could not start or ended at once.
process_launch() {
  local file=$1 word=$2 log=$3 directory=$4 pid launched=0 recorded=0
  local fields=()
  shift 4
  while [ "$1" != -- ]; do
    fields+=("$1")
    shift
  done
  shift
  # Ignored, not trapped: subshells inherit only that, and they get the signal as well.
  trap '' INT TERM HUP
  # shellcheck disable=SC2154
  pid=$(node "$here/launch.mjs" "$log" "$directory" "$@") || launched=$?
  # bash 3.2 takes an empty array for an unset variable.
  process_record "$file" "$pid" "$word" ${fields[@]+"${fields[@]}"} || recorded=1
  trap - INT TERM HUP
  [ "$launched" -lt 128 ] || exit 130
  return "$recorded"
}

# Is the process of this record still running, and still the same one?
process_alive() {
  local pid started word
  pid=$(record_get "$1" pid)
  started=$(record_get "$1" started)
  word=$(record_get "$1" word)
  case $pid in '' | *[!0-9]* | 0 | 1) return 1 ;; esac
  [ -n "$started" ] && [ -n "$word" ] || return 1
  [ "$(process_started "$pid")" = "$started" ] || return 1
  case $(process_command "$pid") in *"$word"*) return 0 ;; *) return 1 ;; esac
}

# process_stop FILE SECONDS: asks the recorded process to end, and ends it after SECONDS; then sweeps
# what is left of its process group. Removes the record. A stranger's pid is left alone.
# Returns 0 if it ended by itself, 1 if it had to be killed, 2 if there was nothing to stop.
process_stop() {
  local file=$1 seconds=$2 pid killed=0 ticks
  if ! process_alive "$file"; then
    rm -f "$file"
    return 2
  fi
  pid=$(record_get "$file" pid)
  kill -TERM "$pid" 2>/dev/null || true
  ticks=$((seconds * 10))
  while process_alive "$file" && [ "$ticks" -gt 0 ]; do
    sleep 0.1
    ticks=$((ticks - 1))
  done
  if process_alive "$file"; then
    killed=1
    kill -KILL "$pid" 2>/dev/null || true
  fi
  # launch.mjs made it the leader of its own group. While members live the kernel does not hand the
  # number out again, so this cannot reach a stranger.
  kill -KILL -- "-$pid" 2>/dev/null || true
  ticks=50
  while process_alive "$file" && [ "$ticks" -gt 0 ]; do
    sleep 0.1
    ticks=$((ticks - 1))
  done
  rm -f "$file"
  return "$killed"
}

# lock FILE WORD: waits until no other script holds FILE. unlock FILE gives it back.
# A hard link either appears with the holder's record in it or not at all.
lock() {
  local file=$1 word=$2 waited=0
  process_record "$file.$$" "$$" "$word"
  until ln "$file.$$" "$file" 2>/dev/null; do
    if ! process_alive "$file"; then
      rm -f "$file"
      continue
    fi
    [ "$waited" -gt 0 ] || echo "waiting for another $word (pid $(record_get "$file" pid)) to finish"
    waited=$((waited + 1))
    if [ "$waited" -gt 600 ]; then
      rm -f "$file.$$"
      echo "gave up after 5 minutes; if nothing is running, remove $file" >&2
      return 1
    fi
    sleep 0.5
  done
  rm -f "$file.$$"
}

unlock() {
  [ "$(record_get "$1" pid)" != "$$" ] || rm -f "$1"
}

# bounded SECONDS COMMAND…: its exit status, or 124 when it took too long (macOS has no timeout(1)).
bounded() {
  local ticks=$(($1 * 10)) pid
  shift
  "$@" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$ticks" -le 0 ]; then
      kill -KILL "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
      return 124
    fi
    sleep 0.1
    ticks=$((ticks - 1))
  done
  wait "$pid"
}
