#!/usr/bin/env bash
# Stops with the cure when Node.js is missing or older than package.json's "engines" asks for.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

required=$(sed -n 's/.*"node": *">=\([0-9.]*\)".*/\1/p' "$root/package.json" | head -n 1)
found=$(node --version 2>/dev/null || true)
found=${found#v}

newer_or_same() { # is version $1 ≥ $2, comparing major and minor?
  local have_major=${1%%.*} have_rest=${1#*.} want_major=${2%%.*} want_rest=${2#*.}
  [ "$have_major" -gt "$want_major" ] && return 0
  [ "$have_major" -eq "$want_major" ] && [ "${have_rest%%.*}" -ge "${want_rest%%.*}" ]
}

if [ -z "$found" ]; then
  echo "Warren needs Node.js $required or newer, and there is no node here." >&2
elif ! newer_or_same "$found" "$required"; then
  echo "Warren needs Node.js $required or newer, and this is $found." >&2
elif ! command -v npm >/dev/null; then
  echo "Node.js $found is here, but npm is not. On Debian or Ubuntu: apt-get install npm" >&2
  exit 1
else
  exit 0
fi
cat >&2 <<'CURE'
To get it:
  any system           https://nodejs.org/en/download, or: nvm install 22
  macOS                brew install node@22
  Debian 13 or newer   apt-get install nodejs npm   (Debian 12's own is too old)
CURE
exit 1
