# make demo   install what is needed, then turn condition images into images
# make test   install what is needed, then run the tests that take seconds
# make lint   install what is needed, then check style, types and docstrings
# make format rewrite the sources in the checked style
#
# Each creates .venv when it is missing; another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pitikit tools configs plugins tests

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py

test: $(VENV)/.installed-test
	@# A file at a time on each of two cores, in the order of the tree, where the longest come early.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu" $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/interrogate --config setup.cfg --quiet pitikit

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/ruff format $(wildcard $(SOURCES))

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp a set of packages: a second call does nothing until the metadata changes.
$(VENV)/.installed: | $(BIN)/python
$(VENV)/.installed-test: EXTRA := [test]
$(VENV)/.installed-dev: EXTRA := [dev]
$(VENV)/.installed-test $(VENV)/.installed-dev: | $(VENV)/.installed

$(VENV)/.installed $(VENV)/.installed-test $(VENV)/.installed-dev: setup.cfg pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.$(EXTRA)'
	@# opencv-python, which mmengine requires, needs libGL; its headless twin, the same module, does not.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(BIN)/python -m pip install \
	  --disable-pip-version-check --quiet --force-reinstall --no-deps opencv-python-headless
	@touch $@

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache demo_out
