#!/bin/bash
# usage: run-steps.sh TARGET...
# Runs make targets one after the other, stops at the first that fails, and says how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
for target in "$@"; do
	start=$SECONDS
	echo "=== make $target"
	if ! "${MAKE:-make}" --no-print-directory "$target"; then
		echo "=== make $target FAILED after $((SECONDS - start)) s"
		exit 1
	fi
	echo "=== make $target took $((SECONDS - start)) s"
done
echo "=== all passed in $((SECONDS - began)) s"
