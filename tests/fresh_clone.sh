#!/bin/sh
# The README's two commands in a clean clone with a fresh environment: `make fresh`.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet "$here" "$work/clone"
cd "$work/clone"
export WISECOMMITTEE_CACHE="$work/cache"
make demo
test -s frontier.png
test -s committee.json
.venv/bin/wisecommittee evaluate committee.json --split test
make test
echo "fresh clone: demo and tests passed"
