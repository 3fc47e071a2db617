#!/usr/bin/env bash
# Install the Debian packages that a group of make targets needs: packages.sh build|test|lint
# Only what is missing, only with apt-get, and only as root or with sudo; else say in one sentence what to install.
set -euo pipefail

missing=()

# need PACKAGE TEST…: PACKAGE is missing unless the command TEST… succeeds.
need() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || missing+=("$package")
}

needs_of_build() {
	need python3-venv "${PYTHON:-python3}" -c 'import ensurepip, venv'
	need clang command -v clang
	need llvm command -v llvm-strip
	need libbpf-dev test -e /usr/include/bpf/bpf_helpers.h
}

needs_of_test() {
	need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
	need gcc command -v gcc
	need g++ command -v g++
	need binutils command -v readelf
	need openssl command -v openssl
	need chromium command -v chromium
	need chromium-driver command -v chromedriver
	need fonts-dejavu-core test -e /usr/share/fonts
}

needs_of_lint() {
	need clang-format command -v clang-format
	need shellcheck command -v shellcheck
}

# Ubuntu has no chromium in apt: there the tests that need it are skipped and say so.
is_optional() {
	[[ $1 == chromium* ]] && ! apt-cache show "$1" >/dev/null 2>&1
}

"needs_of_$1"
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "Missing: ${missing[*]} (names of Debian packages); install them with this system's package manager." >&2
	exit 1
fi
as_root=()
may_install=yes
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo)
	sudo -n true 2>/dev/null || sudo -v 2>/dev/null || may_install=
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
[ -z "$may_install" ] || "${apt[@]}" update

wanted=()
for package in "${missing[@]}"; do
	is_optional "$package" || wanted+=("$package")
done
[ ${#wanted[@]} -gt 0 ] || exit 0

if [ -z "$may_install" ]; then
	echo "Missing: ${wanted[*]}; install them as root: apt-get update && apt-get install ${wanted[*]}" >&2
	exit 1
fi
"${apt[@]}" install -y --no-install-recommends "${wanted[@]}"
