# Every target sets up .venv first, unless it is already set up.
VENV  := .venv
RUN   := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed

# The first Python that is new enough and that runs (the shim of a version manager may not run).
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: help lab test test-browser test-compiler test-oldest soak book slides bench readme lint format clean
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Options: ARGS=\"...\" goes to JupyterLab, pytest, the book or bench; PYTHON=... chooses the Python of $(VENV)."

lab: $(STAMP)  ## open the course in JupyterLab, e.g. make lab ARGS="--no-browser --port 8899"
	$(RUN) jupyterlab --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/$(firstword $(wildcard notebooks/00*.ipynb) notebooks) \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)  # in a container one is root

test: $(STAMP)  ## lint, then run every test, docstring example and notebook, e.g. make test ARGS="-n 4"
	$(RUN) ruff check .
	$(RUN) pytest --nbval -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)  # a notebook stays in one
	@echo "make test: lint, tests, docstring examples and notebooks all passed"

test-browser: $(STAMP)  ## test JupyterLab and the book in headless Chromium (apt: chromium chromium-driver)
	@command -v chromedriver >/dev/null || { echo "No Chromium with its driver." \
		"On Debian: apt install chromium chromium-driver" >&2; exit 1; }
	@$(VENV)/bin/python -c 'import selenium' 2>/dev/null || \
		$(RUN) pip install --disable-pip-version-check -e '.[browser]'
	$(RUN) pytest -m browser tests/test_browser.py tests/test_browser_widgets.py $(ARGS)

test-compiler: $(STAMP)  ## test what needs a C++ compiler: torch.compile, CRF (apt: g++ python3-dev)
	@$(VENV)/bin/python -c 'import pydensecrf.densecrf' 2>/dev/null || \
		$(RUN) pip install --disable-pip-version-check -e '.[crf]'
	$(RUN) pytest -m compiler tests/test_training.py tests/test_refine.py tests/test_cli.py $(ARGS)

test-oldest: $(STAMP)  ## test with the oldest versions that pyproject.toml allows, in .venv-oldest (7 GB)
	$(RUN) tools.oldest > .oldest.txt
	"$(PYTHON)" -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --disable-pip-version-check -c .oldest.txt -e '.[test]'
	.venv-oldest/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

soak: $(STAMP)  ## test for longer: more kills, more damage, more inputs than make test has time for
	$(RUN) pytest -m soak $(ARGS)

book: $(STAMP)  ## render the notebooks as saved to book/, HTML that needs no network
	$(RUN) tools.book $(ARGS)

slides: $(STAMP)  ## build a deck of slides for each notebook in slides/, HTML that needs no network
	$(RUN) tools.slides $(ARGS)

bench: $(STAMP)  ## measure how much the faster methods save here, e.g. make bench ARGS="--quick"
	$(VENV)/bin/ltm-edu bench $(ARGS)

readme: $(STAMP)  ## rewrite README's tables of notebooks and equations
	$(RUN) tools.course

lint: $(STAMP)  ## check style and formatting
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: $(STAMP)  ## format code and notebooks, fix what ruff can fix
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean:  ## remove caches and build leftovers (not data/, nor .venv: rm -r .venv does that)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache screenshots
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-prune -exec rm -rf {} +

# A .venv with a working pip stays; --clear replaces one whose set-up was interrupted.
$(STAMP): pyproject.toml
	@$(RUN) pip --version >/dev/null 2>&1 || { \
		"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "No Python 3.11 or newer found:" \
			"install one, or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }; \
		echo "[1/2] Creating $(VENV) with $(PYTHON) (takes seconds)"; \
		"$(PYTHON)" -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make $(VENV)." \
			"On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }; }
	@echo "[2/2] Installing into $(VENV) (this takes long, but only once: PyTorch is several GB)"
	$(RUN) pip install --disable-pip-version-check -e '.[test]'
	@touch $@
