# make up: everything, running. make test: every test. make check: format, lint, types. make bench: measurements with marks.
.DEFAULT_GOAL := help
.PHONY: help up test check bench lock programs

# The first interpreter that really runs (a pyenv shim may not) and is recent enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python3.13; do \
	$$p -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' 2>/dev/null && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Studio compiles MLflow's bytecode once and keeps it: without it each start takes twice as long.
export PYTHONDONTWRITEBYTECODE :=
# A company's own certificates count, where the system has been told of them.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif

help:
	@sed -n 's/^# make/make/p' Makefile | tr '.' '\n' | sed '/^ *$$/d; s/^ *//'

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Studio needs Python 3.11 or later, and found none on PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing: run 'apt-get install python3-venv' and try again." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements/server.txt)"

$(VENV)/server.stamp: requirements/server.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/server.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt
	@touch $@

up: $(VENV)/server.stamp
	@exec $(BIN)/python manage.py up

test: $(VENV)/dev.stamp programs
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# The tests start the system's Chromium, Node, curl, nginx, PostgreSQL and Redis. Root may install them; others
# are told at the test.
programs:
	@sh .ci/programs

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

bench: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.bench

lock: $(VENV)/dev.stamp
	$(BIN)/uv pip compile -q --upgrade pyproject.toml --extra server --universal --python-version 3.11 --no-header --no-annotate -o requirements/server.txt
	$(BIN)/uv pip compile -q --upgrade pyproject.toml --extra server --extra dev -c requirements/server.txt --universal --python-version 3.11 --no-header --no-annotate -o requirements/dev.txt
