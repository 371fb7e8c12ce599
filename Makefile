# Two commands matter: `make demo` runs the main job, `make test` proves it. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where `make zoo` trains the reference models: about 1 GB, an hour or so on two cores.
ZOO ?= zoo-out

# Real browsers and fault injection in the tests; what cannot be installed is skipped with its reason.
BROWSER := chromium strace

.PHONY: venv demo demo-federation system test lint bench zoo study study-behaviour clean

$(VENV)/.whorl: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[weights,report,probes,service,cases]'
	touch $@

$(VENV)/.whorl-dev: $(VENV)/.whorl
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

venv: $(VENV)/.whorl

demo: venv
	$(BIN)/python demo/run.py

# Three bureaus on one machine: a registration, a notice, a dispute, an annulment, and one bureau that cheats.
demo-federation: venv
	$(BIN)/python demo/federation.py

# Only as root and only what is missing: Debian's packages.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  for tool in $(BROWSER); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	  [ -z "$$missing" ] || { apt-get update -qq; apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 \
	    || echo "could not install:$$missing; the tests that need them are skipped"; \
	fi

lint: $(VENV)/.whorl-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint system
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

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
