SHELL := /bin/bash
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos soak check format bench lock schemas clean

help: ## show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/ready ## make the virtual environment with everything in it

.venv/ready: pyproject.toml requirements-dev.lock
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/pip check --disable-pip-version-check
	touch $@

demo: setup ## see it work: a local Kafka and Redis, two workers, a story, a crash, the sums
	$(BIN)/masswatch demo

test: setup ## run every test: unit, property, contract, integration, the quick part of chaos
	$(BIN)/pytest --numprocesses 3 --dist loadfile --ignore tests/chaos --cov --cov-report=
	$(BIN)/pytest tests/chaos

chaos: setup ## 1,000 schedules of faults, then each guard taken out: hours; SEEDS="17 18" for these alone
	PYTHONPATH=tests $(BIN)/python -m chaos $(or $(SEEDS),--count 1000)
	$(if $(SEEDS),,PYTHONPATH=tests $(BIN)/python -m chaos.guards)

soak: setup ## a worker at full speed for MINUTES=20: memory, lag and counters
	PYTHONPATH=tests $(BIN)/python -m chaos.soak --minutes $(or $(MINUTES),20)

check: setup ## format, lint, types, layers, schemas
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: setup ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup .venv/peers/ready ## measure: CPU per record against other libraries, latency, scaling, memory
	$(BIN)/python -m tests.bench $(ARGS)

# Other libraries in an environment of their own: they want other versions than we do.
.venv/peers/ready: tests/bench/requirements.lock
	python3 -m venv .venv/peers
	.venv/peers/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --requirement tests/bench/requirements.lock
	touch $@

schemas: setup ## export the JSON Schemas of what we publish into topics/schemas/
	$(BIN)/python -m topics.export

lock: setup ## pin what is installed, with hashes
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
	  --output-file requirements.lock
	$(BIN)/uv pip compile --quiet pyproject.toml --extra stack --extra backtest --group dev --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command 'make lock' --constraint requirements.lock \
	  --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet tests/bench/requirements.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' \
	  --output-file tests/bench/requirements.lock

clean: ## stop a local stack of ours, remove what can be made again
	[ ! -x $(BIN)/masswatch ] || $(BIN)/masswatch dev down --purge
	rm -rf .venv .masswatch .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
