# Each target makes what it needs: a virtual environment in .venv, with the packages of pyproject.toml.

PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
SOURCES := overwinter/__init__.py overwinter/__main__.py runtime devices gpu sync edge examples bench tests
export PYTHONDONTWRITEBYTECODE=
export PIP_ROOT_USER_ACTION=ignore

.PHONY: help setup demo test check format bench curves faults docs clean

help: ## what can be made
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: install one (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@echo "making a virtual environment with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "installing the gateway and what its demo needs (about 80 MB to download)"
	@$(PIP) install -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing the gateway, its demo and the tools of development"
	@$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev ## a virtual environment with everything for development

demo: $(VENV)/.demo ## a farm with simulated devices; SECONDS=60 ends by itself
	@$(BIN)/python -m examples.farm.demo $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS))

test: $(VENV)/.dev ## the whole suite, two files at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo "make format puts this right"; exit 1; }
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/mypy --no-error-summary & mypy=$$!; \
	 $(BIN)/pyright --warnings > $(VENV)/pyright.log || { cat $(VENV)/pyright.log; kill $$mypy 2>/dev/null; exit 1; }; wait $$mypy
	@$(BIN)/python -m pytest --quiet tests/unit/test_import_contracts.py
	@echo "check: all is well"

format: $(VENV)/.dev ## put format and imports right
	@$(BIN)/ruff format --quiet $(SOURCES)
	@$(BIN)/ruff check --quiet --fix --select I $(SOURCES)

$(VENV)/.bench: $(VENV)/.dev
	@echo "installing the engines that are measured beside ours"
	@$(PIP) install -e '.[bench]'
	@touch $@

bench: $(VENV)/.bench ## measure, beside other engines and the limit of this disk; QUICK=1, ONLY=W1,W3, ENGINES=overwinter,limit
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(ENGINES),--engines $(ENGINES))

curves: $(VENV)/.bench ## measure what things cost as they grow, and draw it; QUICK=1, ONLY=throughput,replay
	@$(BIN)/python -m bench.curves $(if $(QUICK),--quick --output $(or $(OUTPUT),$(VENV)/curves)) $(if $(ONLY),--only $(ONLY))

faults: $(VENV)/.dev ## the fault tests with their full samples; KILLS=1000 CUTS=10000 say how large
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),5000)
	@OVERWINTER_KILLS=$(or $(KILLS),200) OVERWINTER_CUTS=$(or $(CUTS),10000) OVERWINTER_CALLS=$(or $(CALLS),all) \
	 OVERWINTER_FAILURES=$(or $(FAILURES),all) OVERWINTER_FLIPS=$(or $(FLIPS),3000) OVERWINTER_TIMERS=$(or $(TIMERS),10000) \
	 OVERWINTER_SOAK_S=$(or $(SOAK),3600) \
	 $(BIN)/python -m pytest tests/faults tests/unit/journal --timeout 3600

docs: $(VENV)/.dev ## the reference pages that are made from code
	@$(BIN)/python -m overwinter.edge.settings > docs/reference/settings.md

clean: ## remove what was made
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
