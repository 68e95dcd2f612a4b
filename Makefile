# Each target does the set-up it needs; a second call re-uses what stands. `make help` lists them.
PYTHON ?= python3.11
BIN    := .venv/bin
READY  := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No process of ours reports home
export BENTOML_DO_NOT_TRACK := true
# Compiled modules are kept even where the shell says not to: every process of ours would compile them anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test lint format listing bench torture up down status clean

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## the virtual environment, exact versions from requirements.lock

$(READY): requirements.lock pyproject.toml .ci/setup
	@PYTHON=$(PYTHON) sh .ci/setup

demo: $(READY)   ## the whole loop on the simulated market, or on real files: make demo DATA=<folder>
	@tradesage demo $(if $(DATA),--data "$(DATA)")

test: $(READY)   ## unit, integration and acceptance tests, all on 127.0.0.1
	@python -m pipelines.features.ready
	@python -m pytest -n 2 --dist loadfile

lint: $(READY)   ## ruff and mypy
	@ruff check . && ruff format --check . && mypy

format: $(READY) ## let ruff lay out the code
	@ruff check --fix . && ruff format .

listing: $(READY) ## docs/features.md from the catalogue
	@python -m pipelines.features.listing

bench: $(READY)  ## measured ratios against named peers, to reports/bench.json
	@python -m tests.bench

torture: $(READY) ## kill the executor at every edge and on 500 seeded days of faults, to reports/torture.json
	@python -m tests.torture

up: $(READY)     ## start every process: PostgreSQL, MLflow, Airflow, policy, exchange, executor
	@tradesage up

down: $(READY)   ## stop every process
	@tradesage down

status: $(READY) ## what runs, and where
	@tradesage status

clean: $(READY)  ## stop every process; remove what runs made (data, reports, caches, state), keep the environment
	@tradesage down
	@rm -rf .tradesage reports .dvc/cache .dvc/tmp .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find data -mindepth 1 -maxdepth 1 -type d -name '0*' -exec rm -rf {} +
	@git worktree prune
