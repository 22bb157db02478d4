# Everything that Python needs goes into .venv in this checkout; nothing else on the machine is
# touched but for two Debian packages (Mosquitto, and venv support where it is missing).
#
#   make demo                       the whole path, from a camera to a collector's database
#   make demo ARGS="--duration 30"  the same, with arguments for `edge-agent demo`
#   make test                       the tests that .ci/run runs
#   make help                       all targets

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# As `edge-agent` sets it: its threads wait for each other by spinning.
export OPENBLAS_NUM_THREADS := 1

.PHONY: help demo test test-all storm check format bench models package lock clean mosquitto faketime

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/ready mosquitto ## Run the whole path on a simulated line; ARGS="..." are passed on
	@$(BIN)/edge-agent demo $(ARGS)

test: $(VENV)/ready mosquitto ## Run the tests, quick ones first; the slow ones are left out
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/ready mosquitto faketime ## Run every test; some need root
	$(BIN)/python -m pytest $(ARGS)

storm: $(VENV)/ready mosquitto faketime ## Let all go wrong at once while a million records go through
	$(BIN)/python -m tests.faults $(ARGS)

check: $(VENV)/ready ## Run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready ## Put the code into its format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/ready mosquitto ## Measure; prints a table and writes bench.json
	$(BIN)/python -m tests.bench $(ARGS)

models: $(VENV)/ready ## Make the reference models and bundles anew, from their recipes
	$(BIN)/python -m models $(ARGS)

package: $(VENV)/ready ## Build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls -l dist

lock: $(VENV)/ready ## Write deploy/lock.txt anew with the newest versions that fit
	$(BIN)/pip install --quiet uv
	@{ echo "# Exact versions of everything that the Makefile installs; \`make lock\` writes it anew."; \
	   { $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	       --all-extras --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml; \
	     printf "hatchling\neditables\n" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	       --no-emit-index-url --no-emit-find-links --no-header --no-annotate -; } | sort -u; } > deploy/lock.new
	mv deploy/lock.new deploy/lock.txt

clean: ## Remove what this Makefile made
	rm -rf $(VENV) build dist bench.json .mypy_cache .pytest_cache .ruff_cache

# --- what the targets need ------------------------------------------------------------------------

$(VENV)/ready: pyproject.toml deploy/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11: install Python 3.11 or later, or name one with PYTHON=..." >&2; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "Installing python3-venv (this Python cannot make virtual environments yet)"; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the exact versions of deploy/lock.txt into $(VENV)"
	@$(BIN)/pip install --quiet --constraint deploy/lock.txt hatchling editables
	@$(BIN)/pip install --quiet --constraint deploy/lock.txt --no-build-isolation --editable '.[dev]'
	@touch $@

mosquitto:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v mosquitto >/dev/null || { \
	  echo "Installing the MQTT broker Mosquitto"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends mosquitto >/dev/null; } || { \
	  echo "Mosquitto could not be installed: install the package 'mosquitto' as root, then run this again." >&2; exit 1; }

faketime:
	@ls /usr/lib/*/faketime/libfaketime*.so.1 >/dev/null 2>&1 || { \
	  echo "Installing libfaketime (wall clocks that jump, for the tests)"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends libfaketime >/dev/null; } || \
	  echo "libfaketime could not be installed: the tests of wall clocks that jump are left out" >&2
