# Everything a person or CI does with this checkout; `make help` lists it. Works with GNU make 3.81 and newer.
# PYTHON=python3.12 chooses the interpreter that the environment is made with; TESTS="-k name" goes to pytest.

PYTHON ?= python3
WORKERS ?= 2
TESTS ?=
VENV := .venv
BIN := $(VENV)/bin
# Tests start hundreds of processes: where this is set, each would compile our modules anew, a fifth of its start.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-bench demo test test-slow check format lint types imports docs bench image-test lock wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: ## virtual environment, locked dependencies, browser, reference parts
	@MAKECMDGOALS="$(MAKECMDGOALS)" deploy/check-python $(PYTHON)
	@$(PYTHON) -m deploy.setup

setup-tests: setup
	@$(PYTHON) -m deploy.setup --with tests

setup-bench: setup
	@$(PYTHON) -m deploy.setup --with bench

demo: setup ## the whole thing on this machine: a fleet of three regions, every scenario, one fault caught
	@$(BIN)/python runner.py demo

test: setup-tests ## the tests, in random order
	@$(PYTEST) -m "not slow" $(TESTS)

test-slow: setup-tests ## the tests that take long
	@$(PYTEST) -m slow $(TESTS)

check: format lint types imports docs test ## what CI runs: format, lint, types, import contract, docs, tests

format: setup
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff .; exit 1; }

lint: setup
	@$(BIN)/ruff check --quiet .

types: setup
	@$(BIN)/mypy

imports: setup
	@$(BIN)/lint-imports --no-logo

docs: setup ## links and headings of the documents
	@$(BIN)/python -m deploy.check_docs

bench: setup-bench ## truth of timing, cost and upload, beside blackbox_exporter and curl
	@$(BIN)/python -m bench

image-test: setup ## build deploy/Dockerfile for real and run a scenario in it
	@$(BIN)/python -m deploy.image_test $(ARGS)

lock: setup ## make requirements/*.lock again from pyproject.toml
	@deploy/lock

wheel: setup ## the installable package, in dist/
	@$(BIN)/python -m hatchling build -t wheel

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
