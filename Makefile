# Two commands matter: `make demo` runs the main job, `make test` proves it. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: venv demo test lint bench clean

$(VENV)/.whorl: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[weights,report]'
	touch $@

$(VENV)/.whorl-dev: $(VENV)/.whorl
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

venv: $(VENV)/.whorl

demo: venv
	$(BIN)/python demo/run.py

lint: $(VENV)/.whorl-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest

bench: $(VENV)/.whorl-dev
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) demo-out
