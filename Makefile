# `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# The first Python that runs and fits; a name alone may be an empty shim.
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin

.PHONY: help install install-dev run migrate demo-data test check fix bench

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/ok-run: requirements.txt
	@test -n "$(PYTHON)" || { echo "GenLoop needs Python 3.11 or 3.12; name yours: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@# torch by itself and first: its exact version keeps pip from looking for another build.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(shell grep '^torch==' requirements.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ok-dev: .venv/ok-run requirements-dev.txt requirements-train.txt requirements-s3.txt requirements-otel.txt requirements-ray.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

install: .venv/ok-run  ## Make .venv and install what the app needs

install-dev: .venv/ok-dev

run: install migrate  ## Serve http://127.0.0.1:7860 on the bundled models
	$(BIN)/python app.py

migrate: install  ## Bring the database to this version's schema
	$(BIN)/python -m db.migrate

demo-data: install  ## Fill the database with invented visitors, generations and feedback
	$(BIN)/python -m feedback.demo

test: install-dev  ## Set up what the tests need (Chromium; PostgreSQL is a package) and run them all
	$(BIN)/python -m tests.setup
	@# Two at a time, each a whole file; the longest, those with a browser, first.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: install-dev  ## Lint, types, import arrows, docs in step; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py tests/test_docs.py

fix: install-dev  ## Format and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m docs.build

bench: install-dev  ## Measure against the peers and write docs/benchmarks.md
	$(BIN)/python -m benchmarks.report
