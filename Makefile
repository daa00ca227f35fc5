# What a developer types. `make` alone lists the targets.

# $(call first-python,NAMES,CONDITION): the first of these interpreters that fulfils the condition.
first-python = $(shell for python in $(1); do \
	$$python -c 'import sys; sys.exit(not $(2))' 2>/dev/null && echo $$python && break; done)

PYTHON ?= $(call first-python,python3 python3.11 python3.12 python3.13 python3.14,sys.hexversion >= 0x30b0000)
# The oldest dependencies exist for Python 3.11 and 3.12 only.
OLDEST_PYTHON ?= $(call first-python,$(PYTHON) python3.11 python3.12,0x30b0000 <= sys.hexversion < 0x30d0000)
WORKERS ?= 2

VENV := .venv
OLDEST := .venv-oldest
OLDEST_TORCH := .venv-oldest-torch
TESTS := test,test-data
# Tests of Triton's kernels by themselves, which are compiled where there is a GPU.
KERNELS := tests/modules/test_triton.py tests/training/test_adam_triton.py tests/training/test_rules.py
# What torch or Triton warn of on a new card ends no test; what skamort gives up there does.
ON_A_CARD := -W default -W "error:A training step could not be recorded"
TOOLS := $(VENV)/.tools-installed
DOC_TOOLS := $(VENV)/.doc-tools-installed
DIST_TOOLS := $(VENV)/.dist-tools-installed
OLDEST_TOOLS := $(OLDEST)/.tools-installed
OLDEST_TORCH_TOOLS := $(OLDEST_TORCH)/.tools-installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-oldest-torch coverage bench gpu doc dist clean lint types browser suite \
	suite-minimal suite-oldest run-oldest-torch run-gpu run-demo run-bench run-doc run-dist

help:
	@echo "make demo    compare the encoders with dictionary learning on image patches"
	@echo "make test    all of the following five"
	@echo "  make lint            ruff"
	@echo "  make types           mypy"
	@echo "  make suite           the whole test suite with doctests, on the newest dependencies"
	@echo "  make suite-minimal   a part of it without the optional dependencies"
	@echo "  make suite-oldest    every test on the oldest supported dependencies, but for torch"
	@echo "make test-oldest-torch  every case of them, with the oldest torch too, a download of 3 GB"
	@echo "make coverage  lines of skamort/solvers/ that its tests run, kernels too; an hour"
	@echo "make gpu     the tests of tests/gpu on a real GPU, then its benchmarks; fails without one"
	@echo "make bench   the scripts of benchmarks/ that need nothing else, with small settings"
	@echo "make doc     the documentation, examples executed; warnings are errors"
	@echo "make dist    what is uploaded for a release, in dist/, checked"
	@echo "make clean   remove the environments, the results, the built documentation and the caches"
	@echo
	@echo "Each makes its own $(VENV) when there is none. PYTHON=... chooses the interpreter (3.11 or newer),"
	@echo "OLDEST_PYTHON=... that of the oldest dependencies (3.11 or 3.12), WORKERS=... the test processes ($(WORKERS))."

# $(call report,NAME,TARGETS,RESULTS): run all the targets, then say in one line what happened.
define report
@+start=$$(date +%s); \
if $(MAKE) --no-print-directory --keep-going $(2); then status=0; said="passed"; where="$(3)"; \
else status=1; said="FAILED"; where="the first error above says why"; fi; \
echo "make $(1): $$said in $$(($$(date +%s) - start)) s; $$where"; exit $$status
endef

# $(call install,VENV,EXTRAS,CONSTRAINTS,PYTHON): the last two as a list of files, a variable's name
define install
@[ -n "$($(4))" ] || { echo "skamort found no Python for $(1), see 'make help'; say where: make $(4)=..."; exit 1; }
@echo "Installing skamort[$(2)] into $(1); the first time takes a minute or two ..."
@[ -x $(1)/bin/pip ] || $($(4)) -m venv $(1)
@$(1)/bin/pip install -qq --disable-pip-version-check $(addprefix --constraint ,$(3)) --editable ".[$(2)]"
@touch $@
endef

$(TOOLS): setup.cfg pyproject.toml constraints.txt
	$(call install,$(VENV),$(TESTS),constraints.txt,PYTHON)

$(DOC_TOOLS): $(TOOLS)
	$(call install,$(VENV),doc,constraints.txt,PYTHON)

$(DIST_TOOLS): $(TOOLS)
	$(call install,$(VENV),dist,constraints.txt,PYTHON)

$(OLDEST_TOOLS): setup.cfg pyproject.toml constraints-oldest.txt constraints.txt
	$(call install,$(OLDEST),test,constraints-oldest.txt constraints.txt,OLDEST_PYTHON)

$(OLDEST_TORCH_TOOLS): setup.cfg pyproject.toml constraints-oldest.txt constraints-oldest-torch.txt
	$(call install,$(OLDEST_TORCH),test,constraints-oldest.txt constraints-oldest-torch.txt,OLDEST_PYTHON)

demo:
	$(call report,demo,run-demo,the table and the figures are in results/)

test:
	$(call report,test,lint types suite suite-minimal suite-oldest,the code is clean and works with the newest and the oldest dependencies)

test-oldest-torch:
	$(call report,test-oldest-torch,run-oldest-torch,the code works with the oldest torch)

bench:
	$(call report,bench,run-bench,figures above)

gpu:
	$(call report,gpu,run-gpu,the figures above are for doc/gpu.rst)

doc:
	$(call report,doc,run-doc,open doc/_build/html/index.html)

dist:
	$(call report,dist,run-dist,both archives are in dist/)

lint: $(TOOLS)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

types: $(TOOLS)
	$(VENV)/bin/mypy skamort

suite suite-minimal suite-oldest run-oldest-torch: export MPLBACKEND = Agg
# What one suite compiled of the tests, which takes each process some seconds, the next one reads.
suite suite-minimal suite-oldest run-oldest-torch: export PYTHONDONTWRITEBYTECODE =

# A test opens a report in Chromium. Where there is none it is skipped, except in CI.
browser:
	@[ -z "$$CI" ] || command -v chromedriver >/dev/null || { echo "Installing Chromium ..." >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends chromium chromium-driver; } >/dev/null

suite: $(TOOLS) browser
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal

# What is quick: without compiled kernels some of the other tests take a minute each.
suite-minimal: $(TOOLS)
	$(VENV)/bin/python -m pytest -p tests.without_extras -n $(WORKERS) \
		tests/datasets tests/modules tests/test_public_api.py \
		$(foreach name,SAEEncoder TopKSAE ITOCoder,"tests/estimators/test_common.py::test_check_estimator[$(name)]")

# numba names a kernel in its index before it writes it: where another version has left a file of that
# name, a second process reads that one. So each environment has kernels of its own.
suite-oldest: export NUMBA_CACHE_DIR = $(CURDIR)/$(OLDEST)/kernels
run-oldest-torch: export NUMBA_CACHE_DIR = $(CURDIR)/$(OLDEST_TORCH)/kernels

# All tests but those on an emulated GPU; the examples of docstrings run on the newest dependencies alone.
# A test has cases by what is skamort's, not by what it depends on: two of them tell whether that serves.
suite-oldest: $(OLDEST_TOOLS) browser
	$(OLDEST)/bin/pytest -n $(WORKERS) --dist worksteal tests --ignore tests/gpu --most-cases 2

run-oldest-torch: $(OLDEST_TORCH_TOOLS) browser
	$(OLDEST_TORCH)/bin/pytest -n $(WORKERS) --dist worksteal tests --ignore tests/gpu

# Kernels that are not compiled are seen, and slow: what takes them minutes is left out.
coverage: $(TOOLS)
	NUMBA_DISABLE_JIT=1 $(VENV)/bin/coverage run --include "skamort/solvers/*" -m pytest tests/solvers \
		-W ignore::RuntimeWarning -k "not grow and not threads_change_nothing"
	$(VENV)/bin/coverage report --show-missing --skip-covered

# Steps as small as those of examples gain nothing from threads, which on busy cores wait for each other.
run-demo run-doc: export OMP_NUM_THREADS = 1
run-demo: export MPLBACKEND = Agg
run-demo: $(TOOLS)
	@echo "Comparing eight encoders on image patches; scikit-learn's LARS and an autoencoder come first ..."
	$(VENV)/bin/python examples/plot_image_patches.py

run-bench: $(TOOLS)
	@set -e; for script in $$(grep -l -e "--quick" benchmarks/[!_]*.py); do \
		echo "$$script"; $(VENV)/bin/python $$script --quick; done

run-gpu: $(TOOLS)
	@$(VENV)/bin/python -c "import sys, torch; torch.cuda.is_available() or sys.exit( \
		f'torch {torch.__version__}, for CUDA {torch.version.cuda}, sees no GPU here; nothing ran. ' \
		'Is there one? Then install a build of torch that goes with its driver, whose address ' \
		'https://pytorch.org/get-started/locally tells, such as:\n  $(VENV)/bin/pip install ' \
		'--force-reinstall $(shell grep ^torch constraints.txt) --index-url https://download.pytorch.org/whl/cu126')"
	@status=0; set -x; \
	$(VENV)/bin/pytest $(ON_A_CARD) tests/gpu -k real || status=1; \
	$(VENV)/bin/pytest $(ON_A_CARD) $(KERNELS) || status=1; \
	$(VENV)/bin/python benchmarks/bench_card.py || status=1; exit $$status

run-doc: $(DOC_TOOLS)
	$(VENV)/bin/sphinx-build -q -W --keep-going -b html doc doc/_build/html

run-dist: $(DIST_TOOLS)
	rm -rf build dist skamort.egg-info
	$(VENV)/bin/python -m build
	$(VENV)/bin/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(OLDEST) $(OLDEST_TORCH) results build dist skamort.egg-info
	rm -rf doc/_build doc/auto_examples doc/generated doc/sg_execution_times.rst
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
