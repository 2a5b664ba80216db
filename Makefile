# Thin targets over tools a newcomer knows. A stamp file says when a step needs no second run.

# The first interpreter that really starts (a version manager may leave a name that does not).
PYTHON ?= $(firstword $(foreach name,python3.11 python3,$(shell $(name) -c 'print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
EXTRAS := transformers,explain,prune,layers,umap,train,lab,dev
NPM := npm --prefix js
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

INSTALLED := .venv/.installed
BROWSER := .venv/.browser
MODULES := js/node_modules/.package-lock.json
BUILT := jtviz/static/.built
PEERS := .venv/.peers
PEER_SCRIPTS := tests/bench/node_modules/.package-lock.json
SOURCES := $(shell find js/src -type f 2>/dev/null) js/build.mjs js/package.json

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-scripts test-transformers4 lint lint-python lint-scripts bench watch dist

help: ## List these verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) $(BUILT) $(BROWSER) ## Make .venv with everything, build the front end, see that a browser is there

demo: $(INSTALLED) $(BUILT) ## Open JupyterLab on the first notebook
	$(BIN)/jupyter lab $(AS_ROOT) notebooks/01_look_inside_a_translator.ipynb

test: ## Lint, then run the TypeScript, Python and browser tests
	@$(MAKE) --no-print-directory -j 2 setup lint test-scripts
	@echo "== Python tests"
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not browser" -n auto --dist loadfile
	@echo "== Browser tests (JupyterLab and Notebook 7 in Chromium)"
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/browser -m "browser and not alone" -n 2 --dist loadfile
	$(BIN)/pytest tests/browser -m alone

test-scripts: $(MODULES)
	@echo "== TypeScript tests"
	$(NPM) run --silent test

test-transformers4: ## Try every family of models under transformers 4.57 too, in an environment of its own
	test -x .venv-transformers4/bin/python || $(PYTHON) -m venv .venv-transformers4
	.venv-transformers4/bin/python -m pip install --quiet --constraint constraints.txt torch
	JTVIZ_SKIP_FRONT_END=1 .venv-transformers4/bin/python -m pip install --quiet \
		--constraint constraints.txt --editable ".[dev]" "transformers~=4.57.0"
	.venv-transformers4/bin/pytest tests/zoo -W default -k "not the_table_in_the_docs"

lint: lint-python lint-scripts ## Check style and types, Python and TypeScript

lint-python: $(INSTALLED)
	@echo "== Style and types, Python"
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lint-scripts: $(MODULES)
	@echo "== Style and types, TypeScript"
	$(NPM) run --silent lint
	$(NPM) run --silent check

bench: $(INSTALLED) $(BUILT) $(BROWSER) $(PEERS) $(PEER_SCRIPTS) ## Measure speed and memory, and beside other tools (tests/bench)
	$(BIN)/pytest tests/bench -o python_files='bench_*.py' -s

watch: $(MODULES) ## Rebuild the front end on every change (see CONTRIBUTING.md for hot reload)
	$(NPM) run --silent watch

dist: $(INSTALLED) $(MODULES) ## Build the sdist and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation

$(INSTALLED): pyproject.toml constraints.txt hatch_build.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	JTVIZ_SKIP_FRONT_END=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

$(MODULES): js/package.json js/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer is needed, and npm was not found on the PATH."; exit 1; }
	$(NPM) ci
	@touch $@

$(PEERS): $(INSTALLED)
	JTVIZ_SKIP_FRONT_END=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	@touch $@

$(PEER_SCRIPTS): tests/bench/package.json tests/bench/package-lock.json
	npm --prefix tests/bench ci --ignore-scripts
	@touch $@

$(BUILT): $(SOURCES) $(MODULES)
	$(NPM) run --silent build
	@touch $@

$(BROWSER): tests/browser/find_browser.py $(INSTALLED)
	$(BIN)/python tests/browser/find_browser.py --install
	@touch $@
