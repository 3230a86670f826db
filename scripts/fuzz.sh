#!/bin/bash
# usage: fuzz.sh TIME [PACKAGE-DIR...]
# Runs every fuzz target of the module, or of some packages, for TIME each, and says how many inputs were tried. go test takes
# one target at a time, so this runs one for each processor beside each other, with one worker each.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh TIME [PACKAGE-DIR...]}
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t dirs < <(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' "${@:-.}" | xargs -r -n1 dirname | sort -u)
targets() {
	local dir
	for dir in ${dirs[@]+"${dirs[@]}"}; do
		cat "$dir"/*_test.go | sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|$dir \1|p" | sort -u
	done
}

# only_late LOG: go test fails now and then with nothing but this when the time is over while its worker is busy. A finding names
# the file with its input.
only_late() { grep -q '^    context deadline exceeded$' "$1" && ! grep -q 'Failing input' "$1"; }

# one DIR TARGET: the output is shown only if something is found; go test puts that input into testdata/fuzz of the package.
# Making an interesting input shorter may take go test a minute, which is better spent on new ones.
one() {
	local log=$work/x${1//\//_}.$2
	if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 200x -parallel 1 "$1" >"$log" 2>&1 || only_late "$log"; then
		echo "fuzz $1 $2: $(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
	else
		echo "fuzz $1 $2: FAILED"
		tail -n 60 "$log"
		return 1
	fi
}

count=0 failed=0
finish() {
	wait -n || failed=$((failed + 1))
	running=$((running - 1))
}
running=0
while read -r dir target; do
	one "$dir" "$target" &
	running=$((running + 1)) count=$((count + 1))
	[ "$running" -lt "$(nproc)" ] || finish
done < <(targets)
while [ "$running" -gt 0 ]; do
	finish
done

if [ "$count" = 0 ]; then
	echo "fuzz: no fuzz target found" >&2
	exit 1
fi
# The last line of each output that counts inputs has them all.
inputs=$(awk 'match($0, /execs: [0-9]+/) { n[FILENAME] = substr($0, RSTART + 7, RLENGTH - 7) } END { for (f in n) sum += n[f]; print sum + 0 }' "$work"/*)
echo "fuzz: $count targets, $inputs inputs, $failed failed"
[ "$failed" = 0 ]
