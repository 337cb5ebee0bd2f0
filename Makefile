# Everything runs in .venv, which is made, and made again when pyproject.toml or constraints.txt has changed.
# Another interpreter: make PYTHON=python3.12 ...

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
DECIDED := torch==2.13.0 mujoco==3.17.0

.PHONY: demo test test-slow bench study lint lock python

demo: $(READY)
	$(BIN)/ctrlnet run pendulum --out runs/pendulum --overwrite
	$(BIN)/ctrlnet run pendulum --env.torque-limit 0.75 --out runs/pendulum-0.75 --overwrite

# as many processes as there are cores, each of one thread
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

# pytest ends with 5 when it has selected nothing: no failure here as long as it is said
test-slow: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m slow; status=$$?; \
	if [ $$status -eq 5 ]; then echo "No test is marked slow: nothing was run."; exit 0; fi; exit $$status

# one benchmark: make bench ONLY=pilot; write what was measured into benchmarks/targets.toml: make bench RECORD=1
bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run.py $(ONLY) $(if $(RECORD),--record)

# the tables and figures of docs/studies.md and docs/integrator-studies.md; one study: make study ONLY=transfer
study: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python studies/run.py $(ONLY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): pyproject.toml constraints.txt | python
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

python:
	@command -v $(PYTHON) >/dev/null || { \
	echo "There is no '$(PYTHON)'. ctrlnet needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "ctrlnet needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12 ..." % v[:2])'

# from a fresh environment, so that nothing is pinned that nothing needs
lock: python
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check $(DECIDED) '.[dev]'
	{ echo "# Written by 'make lock': every package that ctrlnet[dev] needs, directly or not, at the versions it is"; \
	  echo "# tested with. torch has no local suffix, so that one file serves the CPU and the CUDA build."; \
	  build/lock/bin/python -m pip list --format=freeze --exclude ctrlnet --exclude pip | sed 's/+[a-z0-9.]*$$//'; \
	} > build/constraints.txt && mv build/constraints.txt constraints.txt
	rm -rf build/lock
