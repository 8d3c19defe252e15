#!/bin/sh
# Makes the published figures of take-overs and moves: rounds.sh [ROUNDS].
# Prints one line a scenario; run it on a machine that does nothing else.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-50}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test ./test/integration -count=1 -v -timeout 90m -rounds "$rounds" \
	-run 'Killed|Moved|Stopped|Terminated|Preferred|Takeover|Rolling|RolledOut|Counters' >"$log" 2>&1 || status=$?
grep -E 'FIGURE|^(---|ok|FAIL)' "$log" || true
[ "$status" -eq 0 ] || { echo "failed:"; cat "$log"; }
exit "$status"
