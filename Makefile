# make demo, make test: each sets itself up on a machine that has Python 3.11. Overridable: PYTHON, VENV, TORCH, ARTIFACT, TESTS.
PYTHON ?= python3.11
VENV ?= .venv
TORCH ?= torch==2.13.0
ARTIFACT ?= runs/demo/artifact
TESTS ?=
EXTRAS := cpu,headless,train,export
BIN = $(VENV)/bin
SOURCES := pyproject.toml runtime/__init__.py $(shell find cpp_ext -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint clean

help:
	@echo "make demo | test | bench | lint | clean   (PYTHON=$(PYTHON) VENV=$(VENV))"

demo: $(VENV)/.installed  ## train, distil, export, verify and run on the embedded scenes
	$(BIN)/python -m benchmarks.demo

test: $(VENV)/.installed-dev  ## import contracts and tests
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(TESTS)

bench: $(VENV)/.installed $(ARTIFACT)/artifact.json  ## latency and footprint of the demo's artifact
	$(BIN)/python -m benchmarks.latency $(ARTIFACT)
	$(BIN)/python -m benchmarks.footprint $(ARTIFACT)

lint: $(VENV)/.installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:  ## what building and checking left behind; runs/ stays
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +

$(ARTIFACT)/artifact.json: | $(VENV)/.installed
	$(BIN)/python -m benchmarks.demo

# torch first and by itself: this takes the CPU build where an index offers one; the default build is gigabytes of CUDA.
$(VENV)/.installed: $(SOURCES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): $(TORCH), then contrastrt[$(EXTRAS)]"
	@$(BIN)/python -m pip install -q $(TORCH)
	@$(BIN)/python -m pip install -q -e ".[$(EXTRAS)]" $(INSTALL_FLAGS)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing into $(VENV): contrastrt[dev]"
	@$(BIN)/python -m pip install -q -e ".[$(EXTRAS),dev]" $(INSTALL_FLAGS)
	@touch $@
