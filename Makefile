# Two commands matter: `make demo` runs the main job, `make test` proves it. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where `make zoo` trains the reference models: about 1 GB, an hour or so on two cores.
ZOO ?= zoo-out

.PHONY: venv demo test lint bench zoo study study-behaviour clean

$(VENV)/.whorl: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[weights,report,probes,registry]'
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

zoo: $(VENV)/.whorl-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.zoo $(ZOO)

# docs/validation.md from the committed measurements; `make study ZOO=FOLDER MEASURE=1` measures a zoo anew.
study: $(VENV)/.whorl-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.zoo.study $(if $(MEASURE),$(ZOO))

# The scores on real answers, families left out: `make study-behaviour ANSWERS=FOLDER` (hours on two cores).
study-behaviour: $(VENV)/.whorl-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.behaviour.study $(ANSWERS)

clean:
	rm -rf $(VENV) demo-out
