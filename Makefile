# Two commands: `make up` runs Callboard, `make test` proves it. Nothing has to be installed but Python 3.11 and git.
# Options for `callboard up`:  make up ARGS="--port 8800 --data-dir DIR --file callboard.yaml"

ARGS ?=
BASE ?= HEAD
BENCH_ARGS ?=
CONFORMANCE_ARGS ?=
PYTEST_ARGS ?=
# One more than there are cores: many tests wait for a restart or a deadline.
TEST_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SOAK_ARGS ?=
BIN := .venv/bin

.PHONY: up test check conformance soak bench bench-compare bench-auth bench-log flames clean
.DEFAULT_GOAL := up

# exec: Ctrl-C goes to Callboard itself, and its exit code is this command's.
up: .venv/installed
	@exec $(BIN)/callboard up $(ARGS)

test: .venv/installed-dev
	@$(BIN)/python -m tests.support.node_tools
	@$(BIN)/python -m tests.support.second_look -n $(TEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

check: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/vulture
	$(BIN)/pytest -q tests/architecture

# The tables of the official conformance suite.  make conformance CONFORMANCE_ARGS="--leg client --only 2026-07-28 --why"
conformance: .venv/installed-dev
	$(BIN)/python -m tests.conformance $(CONFORMANCE_ARGS)

# Fidelity, for as long as you like.  make soak SOAK_ARGS="--minutes 60 --seed 1"
soak: .venv/installed-dev
	$(BIN)/python -m tests.fidelity $(SOAK_ARGS)

# Callboard, the direct path and every peer; bench/NOTES.md.  make bench BENCH_ARGS="--quick --only fastmcp"  or "--shapes"
bench: .venv/installed-dev
	@$(BIN)/python -m bench $(BENCH_ARGS)

# This checkout beside another revision, in turns.  make bench-compare BASE=HEAD~1 BENCH_ARGS="--pairs 20"
bench-compare: .venv/installed-dev
	@$(BIN)/python -m bench.revisions $(BASE) $(BENCH_ARGS)

# What it costs a call to show a token, over a playbook without tokens.  make bench-auth BENCH_ARGS="--rounds 20"
bench-auth: .venv/installed-dev
	@$(BIN)/python -m bench.auth $(BENCH_ARGS)

# The log, the read models and the call log against their figures.  make bench-log BENCH_ARGS="--only calls"
bench-log: .venv/installed-dev
	$(BIN)/python -m bench.log $(BENCH_ARGS)

# Where the processor time of each service goes, under the load of the benchmark: flame graphs in bench/flames.
flames: .venv/installed-dev
	@$(BIN)/python -m bench.flames $(BENCH_ARGS)

# The stamps make a warm start need no network: they are newer than what they were made from until that changes.
.venv/installed: pyproject.toml uv.lock bin/install
	@bin/install

.venv/installed-dev: pyproject.toml uv.lock bin/install
	@bin/install --dev

clean:
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache tests/support/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
