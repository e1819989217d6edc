# make demo   installs, ingests the demo documents, asks three questions
# make test   lint, types and the whole test suite

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: demo test lint format clean

demo: $(VENV)/installed
	@$(BIN)/rag demo

test: $(VENV)/installed-dev lint
	@$(BIN)/pytest --numprocesses 2 --dist loadgroup

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache build dist *.egg-info

$(VENV)/bin/pip:
	@echo "making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("readonce needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

# torch first and alone, so that nothing else chooses its build. Where the index serves the CUDA build under the pinned
# version, PIP_EXTRA_INDEX_URL with PyTorch's index of CPU wheels takes the small one.
$(VENV)/torch: constraints.txt | $(VENV)/bin/pip
	@echo "installing PyTorch (about half a minute)"
	@$(PIP) torch
	@touch $@

$(VENV)/installed: pyproject.toml constraints.txt $(VENV)/torch
	@echo "installing readonce and what it needs (about a minute)"
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the tools of the tests"
	@$(PIP) -e '.[dev]'
	@touch $@
