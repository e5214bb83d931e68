# The same verbs everywhere: setup | check | fix | test | demo | chaos | bench | ci. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# TensorFlow's C++ log lines are not useful to users; errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PYTHONUNBUFFERED := 1
# The tests start hundreds of processes: compiled modules are kept, also in a shell that says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup check fix test test-unit test-integration chaos soak bench bench-quality demo demo-refresh kafka ci lock lock-worker release release-prepare images pins test-pythons clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: .venv/ready ## create .venv with everything, from the hashed lock

.venv/ready: lock/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "setup: Python 3.11, 3.12 or 3.13 is needed; name it: make setup PYTHON=/path/to/python"; exit 1; }
	@echo "setup: $$($(PYTHON) --version), a few minutes the first time (TensorFlow is 260 MB)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r lock/dev.txt
	@$(BIN)/python -m pip uninstall -qq --yes --disable-pip-version-check starstream # the name before 2026-11
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

check: setup ## lint, format, types, import contracts; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup ## what ruff can fix by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup ## the tests, on a real Kafka and a real Redis
	$(BIN)/python -m pytest --ignore=tests/chaos --numprocesses=5 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0 $(ARGS)

test-unit: setup ## the tests that need no service
	$(BIN)/python -m pytest tests/unit tests/structure $(ARGS)

test-integration: setup ## the tests on real services
	$(BIN)/python -m pytest tests/contract tests/integration $(ARGS)

test-pythons: setup ## the worker's unit and contract tests on every Python it supports; ARGS='3.12', ARGS=--install
	$(BIN)/python -m deploy.pythons $(ARGS)

chaos: setup ## kill everything, count every review; ARGS='--case NAME', --list, --nightly or --storm S
	$(BIN)/python -m tests.chaos $(ARGS)

soak: setup ## chaos for a long time, by hand: kills throughout a million reviews; ARGS='--soak N'
	$(BIN)/python -m tests.chaos --soak 1000000 $(ARGS)

bench: setup ## speed compared with named peers, written to tests/benchmarks/README.md
	$(BIN)/python -m tests.benchmarks --write $(ARGS)

bench-quality: setup ## the quality of the models, written to tests/benchmarks/model_quality/README.md
	$(BIN)/python -m tests.benchmarks.model_quality $(ARGS)

demo: setup ## train, serve and rate on this machine; KEEP=1 keeps it running
	@$(BIN)/python -m deploy.demo $(if $(KEEP),--keep)

demo-refresh: setup ## train, gate, shadow, promote and roll back a second model while a stream runs
	@$(BIN)/python -m deploy.demo.refresh

kafka: setup ## a real Kafka broker in the foreground; ARGS='--port 9092'
	@$(BIN)/python -m deploy.kafka $(ARGS)

ci: check test chaos ## what CI runs

# Dev first: what ships is held to the versions that the tests run on.
lock: setup ## write lock/*.txt again from pyproject.toml
	@held=; for part in dev:--extra=dev "worker:--extra=confluent --extra=otel --extra=registry --extra=rest --extra=s3" trainer:--extra=trainer; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
			--no-header --upgrade $$held $${part#*:} pyproject.toml -o lock/$${part%%:*}.txt || exit 1; \
		held="--constraint lock/dev.txt"; done

lock-worker: setup ## a lock for an image with other extras: EXTRAS="rest" OUT=lock/mine.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --constraint lock/worker.txt $(EXTRAS:%=--extra=%) pyproject.toml -o $(OUT)

images: setup ## build the worker's image with buildah, run it, and look into it; ARGS='-k trainer' for the other
	$(BIN)/python -m pytest tests/images $(or $(ARGS),-k worker)

pins: setup ## write the digests of others' images into docker-compose.yml; ARGS='--check' compares
	@$(BIN)/python -m deploy.images.pins $(ARGS)

release-prepare: setup ## begin a release: VERSION=0.2.0 names it everywhere and gives the changelog its section
	@$(BIN)/python -m deploy.release prepare $(VERSION)

release: setup ## build all that users install from this commit into dist/; ARGS='--no-images'
	@$(BIN)/python -m deploy.release build $(ARGS)

clean: ## remove what make created; keeps models/
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
