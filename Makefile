# Ferry's one door: `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Seconds each `make fuzz` runs (all targets together), and the one row `make bench` runs.
SECONDS ?= 60
ROW ?=
# What a sanitizer runs: everything that needs no whole stack.
SANITIZED := CoreTests RedisTests AMQPTests SFTPTests ServiceTests AdaptersTests

export FILE WORKERS RELEASE SEED UPLOADS FAULTS

.PHONY: help install build demo up down test lint format tsan asan fuzz chaos bench

help: ## Says what there is.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## Installs the Debian packages that are missing.
	@scripts/install

build: install ## Builds everything for debugging, tests included.
	swift build --build-tests

demo: install ## Sends a file (FILE=path, or 256 random MiB) through a private Ferry, with a worker killed halfway.
	@scripts/demo

up: install ## Starts a private Ferry on loopback and leaves it running (WORKERS=n, RELEASE=0 for a debug build).
	@scripts/stack up

down: ## Stops what `make up` started.
	@scripts/stack down

test: install ## Runs all tests, real servers included.
	@scripts/step "scripts" scripts/check-scripts
	@scripts/step "build" swift build --build-tests
	@scripts/run-tests
	@scripts/step "bench" Benchmarks/run --smoke --installed --programs "$$(swift build --show-bin-path)"

lint: install ## Checks format, arrows between modules, tidiness, compose file, documentation.
	@scripts/step "swift-format" scripts/format lint
	@scripts/step "arrows" scripts/check-arrows
	@scripts/step "tidy" scripts/check-tidy
	@scripts/step "compose" scripts/check-compose
	@scripts/step "docs" scripts/check-docs

format: ## Formats all Swift sources.
	@scripts/format write

tsan: install ## Runs unit and client tests under the thread sanitizer.
	@scripts/step "build" swift build --build-tests --sanitize thread --scratch-path .build-tsan
	@SCRATCH=.build-tsan SANITIZE=thread scripts/run-tests $(SANITIZED)

asan: install ## Runs unit and client tests under the address sanitizer.
	@scripts/step "build" swift build --build-tests --sanitize address --scratch-path .build-asan
	@SCRATCH=.build-asan SANITIZE=address scripts/run-tests $(SANITIZED)

fuzz: install ## Feeds every parser of outside bytes with libFuzzer's inventions (SECONDS=n).
	@scripts/fuzz $(SECONDS)

chaos: install ## Breaks everything around a whole Ferry, and checks that nothing is lost (SEED=, UPLOADS=, FAULTS=a,b).
	@scripts/chaos

bench: install ## Measures Ferry against its peers (ROW=name for one row).
	@Benchmarks/run $(ROW)
