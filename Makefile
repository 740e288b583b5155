# make run | make test | make docs | make bench | make peers: each makes the virtual environment on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# namespace package with its folders at top level: mypy and import-linter read it through links
LINKS := $(VENV)/links/hyflexsim
READY := $(VENV)/ready

.PHONY: run test lint types contracts unit long docs explore fuzz mutants bench peers clean

run: $(READY)
	$(BIN)/hyflexsim run part-jets

# what takes one core side by side, then what takes all
test: $(READY)
	$(MAKE) --no-print-directory -j 2 lint types contracts docs
	$(MAKE) --no-print-directory unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	MYPYPATH=$(VENV)/links $(BIN)/mypy -p hyflexsim

contracts: $(READY)
	PYTHONPATH=$(VENV)/links $(BIN)/lint-imports

# a file's tests in one process: what they share is made once
unit: $(READY)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# what takes minutes: the paper's evaluation derived again, all of it, is the page that is committed
long: $(READY)
	$(BIN)/pytest -m long

# the site, in build/docs; what is not right about it is an error. Notebooks run
docs: $(READY)
	HYFLEXSIM_WORKERS=0 $(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

# properties on examples that nobody has seen yet
explore: $(READY)
	HYPOTHESIS_PROFILE=explore $(BIN)/pytest -n auto tests

# five thousand strangers' files of each kind, minutes: what is found becomes a test of its own
fuzz: $(READY)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n auto tests/workloads/test_strangers_files.py tests/workloads/extraction/test_repeats.py

bench: $(READY)
	$(BIN)/python -m hyflexsim.workloads.benchmarks.bench

# MUTANTS="--count 400 --seed 1 --path sim/plan"
mutants: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutants]'
	$(BIN)/python -m hyflexsim.workloads.benchmarks.mutants $(MUTANTS)

# PEERS="--python zigzag=... --python scalesim=...": peers in environments of their own
peers: $(READY)
	$(BIN)/python -m hyflexsim.workloads.benchmarks.peers $(PEERS)
	$(BIN)/python -m hyflexsim.workloads.benchmarks.peer_macro $(PEERS)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	mkdir -p $(LINKS)
	for folder in sim models workloads analysis; do ln -sfn $(CURDIR)/$$folder $(LINKS)/$$folder; done
	touch $@

clean:
	rm -rf $(VENV) build dist docs/reference/generated *.egg-info
