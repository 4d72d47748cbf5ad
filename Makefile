# make demo, make test: each sets itself up on a machine that has Python 3.11. Overridable: PYTHON, VENV, TORCH, ARTIFACT, TESTS.
PYTHON ?= python3.11
VENV ?= .venv
TORCH ?= torch==2.13.0
ARTIFACT ?= runs/demo/artifact
TESTS ?=
EXTRAS := cpu,headless,train,export
BIN = $(VENV)/bin
SOURCES := pyproject.toml runtime/__init__.py $(shell find cpp_ext -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)

# make sanitize, test-aarch64, fuzz. Debian: apt-get install g++-aarch64-linux-gnu qemu-user
CXX ?= g++
CMAKE ?= cmake
CXX_AARCH64 ?= aarch64-linux-gnu-g++
QEMU_AARCH64 ?= qemu-aarch64
FUZZ_SECONDS ?= 600
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
STRICT := -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -pthread -ffp-contract=off -Icpp_ext/include
HAMMING_DRIVER := $(STRICT) tests/cpp_ext/hamming_driver.cpp
DESCRIPTORS_DRIVER := $(STRICT) tests/cpp_ext/descriptors_driver.cpp $(addprefix cpp_ext/src/descriptors_,avx2.cpp avx512.cpp avx512_bf16.cpp neon.cpp portable.cpp)
POINTS_DRIVER := $(STRICT) tests/cpp_ext/points_driver.cpp $(addprefix cpp_ext/src/points_,avx2.cpp avx512.cpp neon.cpp portable.cpp)
HERE := -march=native -Wno-maybe-uninitialized  # all kernels that this processor runs; GCC 12 warns of its own AVX-512 headers
SANITIZED := tests/runtime/ops tests/runtime/test_index.py tests/runtime/test_index_choice.py
SITE = $(abspath $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"))

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint sanitize test-aarch64 fuzz clean

help:
	@echo "make demo | test | bench | lint | sanitize | test-aarch64 | fuzz | clean   (PYTHON=$(PYTHON) VENV=$(VENV))"

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

# The module is built a second time, beside a copy of the runtime: -S keeps the editable install from coming before it.
sanitize: $(VENV)/.installed-dev  ## the native ops and their tests under ASan, UBSan and, without Python, TSan; ten minutes
	rm -rf build/sanitize && mkdir -p build/sanitize/tests
	cp -r runtime pyproject.toml build/sanitize/ && cp -r tests/runtime build/sanitize/tests/
	$(CMAKE) -S cpp_ext -B build/sanitize/cmake -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g $(ASAN)" \
		-DCONTRASTRT_PACKAGE=runtime -DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dpybind11_DIR=$$($(BIN)/pybind11-config --cmakedir)
	$(CMAKE) --build build/sanitize/cmake && $(CMAKE) --install build/sanitize/cmake --prefix build/sanitize
	cd build/sanitize && PYTHONPATH=.:$(SITE) ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$(foreach library,asan ubsan stdc++,$(shell $(CXX) -print-file-name=lib$(library).so))" $(abspath $(BIN)/python) -S -m pytest -q $(SANITIZED)
	$(CXX) $(HAMMING_DRIVER) -O1 -g $(ASAN) -o build/sanitize/hamming-address && build/sanitize/hamming-address
	$(CXX) $(HAMMING_DRIVER) -O1 -g -fsanitize=thread -o build/sanitize/hamming-thread && build/sanitize/hamming-thread
	$(CXX) $(DESCRIPTORS_DRIVER) -O1 -g $(ASAN) -o build/sanitize/descriptors-address && build/sanitize/descriptors-address
	$(CXX) $(DESCRIPTORS_DRIVER) -O1 -g -fsanitize=thread -o build/sanitize/descriptors-thread && build/sanitize/descriptors-thread
	$(CXX) $(POINTS_DRIVER) $(HERE) -O1 -g $(ASAN) -o build/sanitize/points-address && build/sanitize/points-address
	$(CXX) $(POINTS_DRIVER) $(HERE) -O1 -g -fsanitize=thread -o build/sanitize/points-thread && build/sanitize/points-thread

test-aarch64:  ## the native ops on an emulated ARM processor: NEON against what is counted and summed one by one
	mkdir -p build
	$(CXX_AARCH64) $(HAMMING_DRIVER) -O2 -static -o build/hamming-aarch64 && $(QEMU_AARCH64) build/hamming-aarch64
	$(CXX_AARCH64) $(DESCRIPTORS_DRIVER) -O2 -static -o build/descriptors-aarch64 && $(QEMU_AARCH64) build/descriptors-aarch64
	$(CXX_AARCH64) $(POINTS_DRIVER) -O2 -static -o build/points-aarch64 && $(QEMU_AARCH64) build/points-aarch64

fuzz: $(VENV)/.installed-dev  ## the readers of index files and of classes, with damaged ones, for FUZZ_SECONDS
	$(BIN)/python tests/fuzz/fuzz_index_file.py --seconds $(FUZZ_SECONDS)

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
