# coldcase: what there is to make. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
# Fault of `make demo`: lock, fsync, cpu, slow-query, downstream-sleep, reset
FAULT ?= lock
# Folder of `make demo`
DEMO_OUT ?= demo-out
# Profile that `make install` installs: release takes about half an hour to build on two cores, dev is there after `make demo`
PROFILE ?= release

.PHONY: help setup setup-test build recorder demo report-pictures readme lint test test-vm test-long bench install clean-demo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo "  Variables: FAULT=$(FAULT) DEMO_OUT=$(DEMO_OUT) PREFIX=$(PREFIX) PROFILE=$(PROFILE)"

setup: ## Install what the build needs (apt), if anything is missing
	@tests/setup.sh build

setup-test: setup ## Install what the tests need (apt, PyPI into .venv), if anything is missing
	@tests/setup.sh test

# The whole workspace, so that the demo and the tests share one build: cargo unites features over what is selected.
build: setup ## Build everything in the profile that demo and tests share
	cargo build --workspace --bins

recorder: setup ## Build the recorder: one small static file, target/recorder/coldcase
	@tests/recorder.sh

demo: build ## Record a shop that falls sick under load, and analyze it (FAULT=fsync make demo)
	@FAULT=$(FAULT) DEMO_OUT=$(DEMO_OUT) tests/demo.sh

report-pictures: demo ## Regenerate the pictures of the README from the demo's own bundle
	@DEMO_OUT=$(DEMO_OUT) tests/pictures.sh

readme: report-pictures ## Run the commands of the README's tour again and put their output there
	@python3 tests/readme.py

lint: setup ## Formatting, clippy, generated files, directions between crates, shell scripts
	@tests/lint.sh

test: setup-test ## All tests that this machine allows, the others skipped with a reason
	@tests/run.sh

test-vm: recorder setup-test ## The kernel sources on a second kernel (Debian 6.1) under emulation
	@tests/vm/run.sh target/recorder/coldcase

test-long: setup-test build ## Many kills, long runs, overhead: hours
	@tests/long.sh

bench: setup-test ## Overhead, sizes and speeds, as ratios measured side by side
	@tests/bench/run.sh

install: setup ## Install the binary, man pages and shell completions under PREFIX
	@PREFIX=$(PREFIX) PROFILE=$(PROFILE) DESTDIR=$(DESTDIR) tests/install.sh

clean-demo: ## Remove what the demo left
	rm -rf $(DEMO_OUT)
