# The same commands on a laptop and in CI. V=1 shows every command and its output.

PYTHON ?= python3

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

export V PYTHON
# A Go that is too old is replaced by a packaged one (tests/tools/go.sh), never by a download of its own.
export GOTOOLCHAIN := local
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Build requirements of the package itself are pinned as well.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

Q := $(if $(V),,@)
step := $(Q)tests/tools/step.sh
bin := .venv/bin
stamps := .cache/stamps
# Recording needs root.
as_root := $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- what users and developers call ----

.PHONY: run
run: $(stamps)/venv bpf ## record this host for ten seconds, print the top functions, say where the flame graph is
	$(Q)mkdir -p out
	$(Q)$(as_root) $(bin)/otelprof record -d 10 -o - -o out/host.html
	@echo 'Flame graph: file://$(CURDIR)/out/host.html'

.PHONY: test
test: deps ## run the tests, after installing what they need
	$(Q)$(bin)/pytest

.PHONY: test-real
test-real: deps ## run the tests that take over a minute or need other kernels and real peers under load
	$(Q)$(bin)/pytest -m real

.PHONY: soak
soak: deps ## run for hours and watch memory, maps and the ledger
	$(Q)$(bin)/pytest -m soak -s

.PHONY: bench
bench: deps ## measure start, CPU, memory, BPF time and bytes per sample
	$(Q)$(bin)/python -m tests.bench

.PHONY: lint
lint: $(stamps)/venv $(stamps)/packages-lint bpf ## check style and types; warnings are errors
	$(step) LINT ruff-check $(bin)/ruff check
	$(step) LINT ruff-format $(bin)/ruff format --check
	$(step) LINT mypy $(bin)/mypy otelprof exporters tests
	$(step) LINT clang-format clang-format --dry-run -Werror $(wildcard bpf/*.[ch])
	$(step) LINT shellcheck shellcheck .ci/run $(shell git ls-files "*.sh")

.PHONY: wheel
wheel: $(stamps)/venv bpf ## build the wheel into dist/
	$(Q)rm -rf dist
	$(step) WHEEL dist $(bin)/python -m build --wheel --no-isolation
	$(Q)[ "$$($(bin)/python -m zipfile -l dist/otelprof-*.whl | grep -c '/objects/.*\.bpf\.o ')" = $(words $(objects)) ] || \
		{ echo 'The wheel lacks BPF objects.' >&2; exit 1; }

.PHONY: proto
proto: $(stamps)/venv ## generate the descriptor of pprof's schema again
	$(step) PROTO proto/profile.proto $(bin)/python proto/generate.py

.PHONY: clean
clean: ## remove what was built; .venv and .cache stay
	$(Q)rm -rf build dist out otelprof/sampler/objects/*.bpf.o

# ---- BPF objects ----

sources := $(wildcard bpf/*.bpf.c)
objects := $(patsubst bpf/%.bpf.c,otelprof/sampler/objects/%.bpf.o,$(sources))
architecture := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
# v3 has 32-bit jumps and arithmetic (kernel 5.1). No path of the building machine gets into the line information.
# BPF_PROG of libbpf declares a context that few programs use.
bpf_flags := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -D__TARGET_ARCH_$(architecture) \
	-Ibpf -idirafter /usr/include/$(shell uname -m)-linux-gnu -ffile-compilation-dir=.

.PHONY: bpf
bpf: $(objects) ## compile the BPF programs

otelprof/sampler/objects/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) Makefile | $(stamps)/packages-build
	$(Q)mkdir -p $(@D)
	$(step) BPF $@ clang $(bpf_flags) -c $< -o $@
	$(Q)llvm-strip --strip-debug $@

# ---- what has to be installed ----

.PHONY: deps
deps: $(stamps)/venv $(stamps)/packages-test $(stamps)/go .cache/bin/otelcol bpf ## install and build what the tests need

$(stamps)/packages-test $(stamps)/packages-lint: | $(stamps)/packages-build

$(stamps)/packages-%: tests/tools/packages.sh
	$(step) INSTALL packages-for-$* tests/tools/packages.sh $*
	$(Q)mkdir -p $(@D) && touch $@

$(stamps)/venv: pyproject.toml constraints.txt | $(stamps)/packages-build
	$(Q)$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "otelprof needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(step) INSTALL .venv $(PYTHON) -m venv .venv
	$(step) INSTALL python-packages $(bin)/pip install -e '.[dev]'
	$(Q)mkdir -p $(@D) && touch $@

$(stamps)/go: tests/tools/go.sh tests/e2e/collector/go.mod | $(stamps)/venv
	$(step) INSTALL go tests/tools/go.sh $(bin)/pip
	$(Q)mkdir -p $(@D) && touch $@

# packages-test holds ca-certificates, without which no module can be downloaded.
.cache/bin/otelcol: $(wildcard tests/e2e/collector/*.go tests/e2e/collector/go.*) | $(stamps)/go $(stamps)/packages-test
	$(step) BUILD $@ env CGO_ENABLED=0 .cache/bin/go build -C tests/e2e/collector -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ .
