# Each target is one habit; packaging/setup.sh makes the machine ready for it.
# Nothing of the caller's Python leaks in: what runs is the package installed in .venv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export NODE_PATH := $(CURDIR)/build/node/node_modules
export PATH := $(CURDIR)/.venv/bin:$(PATH)

LINT := ruff check -q && ruff format -q --check && cython-lint agent parser tests/fuzz && lint-imports && buf lint && mypy

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench-parser bench-pipeline bench-detection bench-rules bench-capture vm-test fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

demo: ## set up, then show attacks on real servers being seen (ARGS=--keep leaves it running)
	@packaging/setup.sh demo && sockwarden demo $(ARGS)

test: ## set up, lint, then the whole test suite (ARGS go to pytest)
	@packaging/setup.sh test && $(LINT) && pytest $(ARGS)

lint: ## format, style, import contracts, protos, types
	@packaging/setup.sh test && $(LINT)

types: ## types alone
	@packaging/setup.sh test && mypy

bench-parser: ## set up, then measure the parser and analyze; beside the parser's peers where ../shared (or PEERS=FOLDER) has them
	@packaging/setup.sh test && python tests/bench/parser.py $(ARGS)

bench-pipeline: ## set up, then measure the way from a ring's records to verdicts
	@packaging/setup.sh test && python tests/bench/pipeline.py $(ARGS)

bench-rules: ## set up, then measure the rules on benign messages (or the JSON lines of BENCH_CORPUS=FILE)
	@packaging/setup.sh test && python tests/bench/rules.py $(ARGS)

bench-detection: ## set up, then measure what the shipped rules find in the texts in ../shared/corpora (or CORPORA=FOLDER)
	@packaging/setup.sh test && python tests/bench/detection.py $(ARGS)

bench-capture: ## set up, then measure what the probe costs the programs that it watches
	@packaging/setup.sh test && python tests/bench/capture.py $(ARGS)

soak-probe: ## set up, then attach and detach the probe 200 times (or PROBE_TIMES) under full load
	@packaging/setup.sh test && PROBE_TIMES=$${PROBE_TIMES:-200} pytest tests/agent/probe/test_attach_and_detach.py $(ARGS)

vm-test: ## the probe on stock kernels 6.1 and 6.12 in QEMU: minutes with KVM, an hour without
	@packaging/setup.sh vm && python tests/e2e/vm/run.py $(ARGS)

fuzz: ## set up, then fuzz the parser and the readers for FUZZ_SECONDS (ARGS: which targets)
	@packaging/setup.sh test && python tests/fuzz/run.py $(ARGS)

clean: ## remove what was built, .venv included
	@rm -rf .venv build
