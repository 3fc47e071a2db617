#!/usr/bin/env bash
# Run one step of make with one line of output: step.sh LABEL WHAT COMMAND…
# What the command prints goes to a file and is shown when it fails; V=1 shows it as it comes.
set -euo pipefail

label=$1 what=$2
shift 2
printf '  %-8s %s\n' "$label" "$what"
if [ -n "${V:-}" ]; then
	exec "$@"
fi
mkdir -p .cache/log
log=.cache/log/${what//[!A-Za-z0-9.]/-}.log
"$@" >"$log" 2>&1 </dev/null || {
	status=$?
	cat "$log" >&2
	echo "$label $what failed ($status); this is $log" >&2
	exit "$status"
}
