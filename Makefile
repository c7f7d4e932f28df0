PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help demo test test-slow honesty policies routers test-nojit test-zoo test-lowest test-newest fuzz fuzz-case lint bench fresh clean
help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# One environment per set of extras; the stamp makes every later start immediate.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch,dev]'
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo   ## train a small pool on scikit-learn's digits, extract, search, plot, evaluate
	$(BIN)/wisecommittee demo

test: $(VENV)/.dev    ## everything the tests need, then the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.dev   ## statistics over seeds of what training does, with their tables; minutes
	$(BIN)/python -m pytest -m slow -s

honesty: $(VENV)/.dev   ## whether figures hold on new units: STORE=folder UNITS=1000 DRAWS=200; FULL=1 draws 1,000 times, up to 4 models
	$(BIN)/python -m benchmarks.honesty $(STORE) --units $(or $(UNITS),300) $(if $(FULL),--draws 1000 --max-models 4,--draws $(or $(DRAWS),200))

policies: $(VENV)/.dev   ## every kind of policy on held-out halves of tables of answers: TABLES='folder ..' (benchmarks/policies.py says of what)
	$(BIN)/python -m benchmarks.policies $(TABLES)

routers: $(VENV)/.dev   ## routers beside cascades, and both together, on units that did not choose: STORE=folder with features COST=usd (by default a made-up log)
	$(BIN)/python -m benchmarks.routers $(STORE) --cost $(or $(COST),usd)

test-zoo: $(VENV)/.dev   ## model sources with timm, torchvision, transformers and onnx installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[zoo,hf,onnx]'
	$(BIN)/python -m pytest -n 2 tests/extract/test_source_*.py tests/deploy/test_bench_models.py tests/extract/test_data_sources.py tests/deploy/test_deploy.py

test-nojit: $(VENV)/.dev   ## the kernels as plain Python: bounds and coverage
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 tests/search/test_search.py tests/search/test_exact.py tests/search/test_axis.py tests/search/test_segmentation.py tests/search/test_products.py -k '(oracle or brute or scores or extremes or in_turn) and not every_mode'

# Without torch: what searches, and no test that needs more than the package itself.
BARE := naive adding cards layout parts units import search exact calibration axis limits families tables page cli arrays reading jit resampling expected verdict quantiles best_of_many
bare = $(foreach name,$(BARE),$(wildcard tests/*/test_$(name).py)) -k 'not null'

test-lowest:     ## a part of the tests with the lowest versions of all dependencies, in an environment of its own
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable . pytest pytest-benchmark hypothesis
	.venv-lowest/bin/python -m pytest -W ignore $(bare)

NEWEST ?= python3.13
test-newest:     ## the same part with the newest Python (NEWEST=python3.13) and the newest versions
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable . pytest pytest-benchmark hypothesis
	.venv-newest/bin/python -m pytest $(bare)

fuzz: $(VENV)/.dev    ## 3,000 damaged stores, tables, committees and checkpoints each; about half an hour
	$(BIN)/python -m pytest -n 2 -m fuzz tests/fuzz

KIND ?= stores
SEED ?= 0
fuzz-case: $(VENV)/.dev   ## one of them again, with all it prints: KIND=stores SEED=17
	PYTHONPATH=tests $(BIN)/python -m fuzz $(KIND) $(SEED)

lint: $(VENV)/.dev    ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev   ## ratios against naive baselines, in one process each
	$(BIN)/python -m benchmarks

fresh:           ## the README's two commands in a clean clone with a fresh environment
	sh tests/fresh_clone.sh

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
