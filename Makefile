# What a developer types. `make` alone lists the targets.

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
WORKERS ?= 2

VENV := .venv
OLDEST := .venv-oldest
TESTS := test,test-data
TOOLS := $(VENV)/.tools-installed
DOC_TOOLS := $(VENV)/.doc-tools-installed
OLDEST_TOOLS := $(OLDEST)/.tools-installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench doc clean lint browser suite suite-oldest run-demo run-bench run-doc

help:
	@echo "make demo    compare the encoders with dictionary learning on image patches"
	@echo "make test    ruff, the whole test suite with doctests, then the oldest supported dependencies"
	@echo "make bench   every script of benchmarks/, with small settings"
	@echo "make doc     the documentation, examples executed; warnings are errors"
	@echo "make clean   remove the environments, the results, the built documentation and the caches"
	@echo
	@echo "Each makes its own $(VENV) when there is none. PYTHON=... chooses the interpreter (3.11 or newer),"
	@echo "WORKERS=... the test processes ($(WORKERS))."

# $(call report,NAME,TARGETS,RESULTS): run all the targets, then say in one line what happened.
define report
@+start=$$(date +%s); \
if $(MAKE) --no-print-directory --keep-going $(2); then status=0; said="passed"; where="$(3)"; \
else status=1; said="FAILED"; where="the first error above says why"; fi; \
echo "make $(1): $$said in $$(($$(date +%s) - start)) s; $$where"; exit $$status
endef

# $(call install,VENV,EXTRAS,CONSTRAINTS)
define install
@[ -n "$(PYTHON)" ] || { echo "skamort needs Python 3.11 or newer and found none; say where: make PYTHON=..."; exit 1; }
@echo "Installing skamort[$(2)] into $(1); the first time takes a minute or two ..."
@[ -x $(1)/bin/pip ] || $(PYTHON) -m venv $(1)
@$(1)/bin/pip install -qq --disable-pip-version-check --constraint $(3) --editable ".[$(2)]"
@touch $@
endef

$(TOOLS): setup.cfg pyproject.toml constraints.txt
	$(call install,$(VENV),$(TESTS),constraints.txt)

$(DOC_TOOLS): $(TOOLS)
	$(call install,$(VENV),doc,constraints.txt)

$(OLDEST_TOOLS): setup.cfg pyproject.toml constraints-oldest.txt
	$(call install,$(OLDEST),test,constraints-oldest.txt)

demo:
	$(call report,demo,run-demo,the table and the figures are in results/)

test:
	$(call report,test,lint suite suite-oldest,the code is clean and works with the newest and the oldest dependencies)

bench:
	$(call report,bench,run-bench,figures above)

doc:
	$(call report,doc,run-doc,open doc/_build/html/index.html)

lint: $(TOOLS)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

suite suite-oldest: export MPLBACKEND = Agg

# A test opens a report in Chromium. Where there is none it is skipped, except in CI.
browser:
	@[ -z "$$CI" ] || command -v chromedriver >/dev/null || { echo "Installing Chromium ..." >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends chromium chromium-driver; } >/dev/null

suite: $(TOOLS) browser
	$(VENV)/bin/pytest -n $(WORKERS)

suite-oldest: $(OLDEST_TOOLS)
	$(OLDEST)/bin/pytest -n $(WORKERS) tests/estimators tests/solvers

run-demo: export MPLBACKEND = Agg
run-demo: $(TOOLS)
	$(VENV)/bin/python examples/plot_image_patches.py

run-bench: $(TOOLS)
	@set -e; for script in benchmarks/[!_]*.py; do \
		echo "$$script"; $(VENV)/bin/python $$script --quick; done

run-doc: $(DOC_TOOLS)
	$(VENV)/bin/sphinx-build -q -W --keep-going -b html doc doc/_build/html

clean:
	rm -rf $(VENV) $(OLDEST) results build dist skamort.egg-info
	rm -rf doc/_build doc/auto_examples doc/generated doc/sg_execution_times.rst
	rm -rf .pytest_cache .ruff_cache .hypothesis .coverage
