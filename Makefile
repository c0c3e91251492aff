# Every target sets itself up: a fresh machine needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# Where make can, each step's output comes in one piece when the step ends.
PIECES := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.PHONY: help setup demo test lint format unit browser wheel bench docs study bases lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(READY): requirements/all.txt requirements/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "muscle-llm needs Python 3.11 or newer; set PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies (once, a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/all.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## Install everything into .venv

demo: $(READY) ## Run a whole small update offline and write its page
	@$(BIN)/muscle-llm demo $(ARGS)

# The longest step beside the others. All of them run, whichever fails. The browser comes last, when less runs
# beside it, since it prints how fast the page is.
test: $(READY) ## Everything CI checks
	@$(MAKE) --no-print-directory --keep-going -j 2 $(PIECES) unit lint wheel browser

lint: $(READY) ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: $(READY) ## Tests and doctests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal --ignore=tests/browser $(ARGS)

browser: $(READY) ## Tests of the page in Chromium
	$(BIN)/pytest -q -rs tests/browser $(ARGS)

wheel: $(READY) ## Build the wheel and try it outside the checkout, without and with the extra
	OMP_NUM_THREADS=1 $(BIN)/python scripts/smoke_wheel.py

bench: $(READY) ## Benchmarks: make bench ARGS=compare
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(READY) ## Re-make the generated pages of docs/
	$(BIN)/python scripts/make_docs.py

study: $(READY) ## Re-make the study of remedies (about two hours on two cores)
	@$(BIN)/python studies/remedies/prepare.py
	@$(BIN)/muscle-llm study studies/remedies/study.yaml --processes 2 \
	  --results studies/remedies/results.parquet --page studies/remedies/README.md
	@$(BIN)/python studies/remedies/readme_table.py
	@$(BIN)/muscle-llm study studies/remedies/ablation.yaml --processes 2 --ablation \
	  --results studies/remedies/ablation.parquet --page studies/remedies/ablation.md

bases: $(READY) ## Pretrain the demo's two bases anew (about 20 minutes)
	$(BIN)/python scripts/make_bases.py

lock: ## Lock the dependencies anew (needs uv)
	uv pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header -o requirements/light.txt
	uv pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --extra train --group dev -c requirements/torch.txt \
	  --no-emit-package torch -o requirements/all.txt

clean: ## Remove everything that can be made again
	rm -rf $(VENV) build dist runs .pytest_cache .ruff_cache .hypothesis .import_linter_cache
