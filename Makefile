# On a machine with git, make and Python 3.11 each target does all its own set-up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV_INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header
CHECKED = automl_assets resources tests examples benchmarks

# uv trusts what the machine trusts, as pip does: companies have certificates of their own.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help demo up test test-slow check lock clean

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.runtime  ## Train, evaluate and register a model on real data
	$(BIN)/python examples/make_data.py examples/data
	$(BIN)/automl train examples/breast_cancer.yaml

up: $(VENV)/.runtime  ## Start the web UI, the queue and MLflow
	$(BIN)/automl up

test: $(VENV)/.development  ## Run the tests that need no long time
	$(BIN)/python -m pytest

test-slow: $(VENV)/.development  ## Run the tests that start real services or take long
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.development  ## Run the linters, the type checker and the import contracts
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(MAKE) --no-print-directory check-lock

.PHONY: check-lock
check-lock: $(VENV)/.development  # the locks still follow from pyproject.toml
	cp requirements.lock $(VENV)/runtime.lock && cp requirements-dev.lock $(VENV)/dev.lock
	$(COMPILE) pyproject.toml --extra cluster --extra build -o $(VENV)/runtime.lock
	$(COMPILE) pyproject.toml --extra cluster --extra dev -c requirements.lock -o $(VENV)/dev.lock
	diff requirements.lock $(VENV)/runtime.lock && diff requirements-dev.lock $(VENV)/dev.lock

lock: $(VENV)/.uv  ## Resolve the dependencies anew
	$(COMPILE) --upgrade pyproject.toml --extra cluster --extra build -o requirements.lock
	$(COMPILE) --upgrade pyproject.toml --extra cluster --extra dev -c requirements.lock \
		-o requirements-dev.lock

clean:  ## Remove the virtual environment and caches; .automl stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.uv: requirements-bootstrap.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed, found $$($(BIN)/python --version). Say: make PYTHON=/path/to/python3.11"; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.lock
	touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml $(VENV)/.uv
	$(UV_INSTALL) --require-hashes -r requirements.lock
	$(UV_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	$(UV_INSTALL) --require-hashes -r requirements-dev.lock
	touch $@
