#!/bin/bash
# usage: fuzz.sh TIME
# Runs every fuzz target of the module for TIME each (go test -fuzztime takes one target at a time).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh TIME}

count=0
mapfile -t dirs < <(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
for dir in ${dirs[@]+"${dirs[@]}"}; do
	mapfile -t targets < <(cat "$dir"/*_test.go | sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' | sort -u)
	for target in "${targets[@]}"; do
		echo "fuzz $dir $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir"
		count=$((count + 1))
	done
done
if [ "$count" = 0 ]; then
	echo "fuzz: no fuzz target found" >&2
	exit 1
fi
echo "fuzz: $count targets"
