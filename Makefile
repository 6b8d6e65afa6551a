# Two commands to know: `make demo` and `make test`. Both make .venv by themselves.
#
#   PYTHON=python3.12   the Python to build .venv on; a .venv of another version is rebuilt

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=

.PHONY: help demo test evidence bench priors starts answers profile lint format docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      Old Faithful by MAP and NUTS; tables here, a picture in demo/"
	@echo "make test      the tests"
	@echo "make lint      ruff, mypy, the import contract"
	@echo "make docs      the site, in docs/_build/html"
	@echo "make evidence  the slow statistical tests"
	@echo "make bench     speed against PyMC, NumPyro, Stan and scikit-learn; writes docs/benchmarks.md (half an hour)"
	@echo "make priors    priors of the covariances on many tables; writes docs/priors.csv (an hour)"
	@echo "make starts    how often a search reaches the best optimum known; writes docs/starts.csv (two hours)"
	@echo "make answers   what the default answers on tables of which the truth is known (ten minutes)"
	@echo "make profile   where the time of a fit goes"
	@echo "PYTHON=...     the Python to use (3.12 or newer)"

# $(BIN)/python exists, and is of the version that PYTHON names, if it names one.
.PHONY: venv
venv:
	@sh scripts/make-venv "$(VENV)" "$(PYTHON)"

# A stamp for every set of packages: installed again only when pyproject.toml changed or .venv is new.
define install
	@stamp=$(VENV)/.installed-$(1); \
	if [ ! -e $$stamp ] || [ pyproject.toml -nt $$stamp ]; then \
	  echo "Installing bayesgmm ($(1)) into $(VENV)"; \
	  if command -v uv >/dev/null 2>&1; then \
	    uv pip install --quiet --python $(BIN)/python --editable . $(2); \
	  else \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' && \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . $(2); \
	  fi && touch $$stamp; \
	fi
endef

demo: venv
	$(call install,run,)
	@$(BIN)/bayesgmm demo --out demo

# One thread each for the linear algebra: two processes with two each wait for one another, at a third of the speed.
test: venv
	$(call install,dev,--group dev)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

evidence: venv
	$(call install,dev,--group dev)
	$(BIN)/python -m pytest -m slow $(ARGS)

BENCHMARKS := gradient em sampling process memory assignments

bench: venv
	$(call install,bench,--group bench)
	@for script in $(BENCHMARKS); do echo "benchmarks/$$script.py"; $(BIN)/python -W ignore benchmarks/$$script.py || exit 1; done
	$(BIN)/python benchmarks/page.py

priors: venv
	$(call install,bench,--group bench)
	$(BIN)/python -W ignore benchmarks/priors.py

starts: venv
	$(call install,bench,--group bench)
	$(BIN)/python -W ignore benchmarks/starts.py --out docs/starts.csv

answers: venv
	$(call install,bench,--group bench)
	$(BIN)/python -W ignore benchmarks/answers.py

profile: venv
	$(call install,run,)
	@$(BIN)/python -W ignore benchmarks/phases.py $(SHAPE)

lint: venv
	$(call install,dev,--group dev)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(call install,dev,--group dev)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: venv
	$(call install,docs,--group docs)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) demo docs/_build docs/gallery docs/api/generated .pytest_cache .ruff_cache .mypy_cache
