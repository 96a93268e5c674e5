# Everything a newcomer needs: `make demo` runs the line, `make test` runs its tests.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check lock setup

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m bert_core.compile_kernels
	touch $@

demo: setup
	$(BIN)/bertline run recipes/demo.yaml

test: setup
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet torch==2.13.0 -e '.[demo,dev]'
	(echo "# Exact versions of everything that \`make setup\` installs. Regenerate: make lock"; \
	 .venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' | sort -f) > requirements.lock
	rm -rf .venv-lock
