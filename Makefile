# Everything a clone needs: `make train` and `make test` set up .venv themselves and are safe to repeat.
PYTHON ?= python3
PYTHON_oldest ?= python3.11
PYTHON_newest ?= python3.12
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help train test test-slow test-oldest test-newest lint check bench results clean
.DEFAULT_GOAL := help

help:
	@echo "make train      train the digit classifier on embedded data, figures in runs/mnist"
	@echo "make test       run the tests (under 15 minutes on 2 cores)"
	@echo "make test-slow  run the tests marked slow"
	@echo "make test-oldest, make test-newest"
	@echo "                run the tests on the oldest and the newest JAX supported, each in a .venv of its own"
	@echo "make check      lint, types and tests: what CI runs"
	@echo "make bench      the JAX-against-PyTorch table; needs an idle machine"
	@echo "make results    the README's results table, from docs/runs"

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/.installed-test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[test,torch]'
	@touch .venv/.installed $@

train: .venv/.installed
	$(BIN)/flax-models train mnist --out runs/mnist

# a file stays on one core, so that its tests share what they prepared
test: .venv/.installed-test
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

# on the oldest and the newest JAX that is supported
test-oldest test-newest: test-%: .venv-%/.installed-test
	.venv-$*/bin/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile

.venv-%/.installed-test: pyproject.toml constraints-%.txt
	test -x .venv-$*/bin/python || $(PYTHON_$*) -m venv .venv-$*
	.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet \
		--constraint constraints-$*.txt --editable '.[test,torch]'
	@touch $@

test-slow: .venv/.installed-test
	$(BIN)/python -m pytest -m slow

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

bench: .venv/.installed-test
	$(BIN)/python -m benchmarks

results:
	$(PYTHON) docs/results_table.py

clean:
	rm -rf .venv .venv-oldest .venv-newest runs
