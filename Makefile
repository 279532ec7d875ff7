# All work is done by the package runner/ (standard library only); this file names it.
PYTHON ?= python3
RUNNER = $(PYTHON) -m runner
export PYTHONPATH :=
.DEFAULT_GOAL := help
.PHONY: help setup run test e2e check format services services-stop lock assets openapi migrations faults bench bench-commands bench-billing bench-gateway prove-money fuzz vllm evidence

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## virtual environment, locked packages, Debian packages when allowed
	@$(RUNNER) setup

run: ## set up, fill with demonstration data, serve http://127.0.0.1:8000 and print the sign-ins
	@$(RUNNER) run

test: ## set up and run the whole suite; ARGS="tests/apps/billing -x" for a part
	@$(RUNNER) test $(ARGS)

e2e: ## the browser tests alone: the main job in Chromium on a real machine, every page by axe
	@$(RUNNER) test tests/e2e

check: ## style, types, import map, sizes, migrations and OpenAPI drift
	@$(RUNNER) check $(ARGS)

format: ## let ruff put files in order; ARGS="apps/users" for a part
	@.venv/bin/ruff check --fix $(or $(ARGS),.) ; .venv/bin/ruff format $(or $(ARGS),.)

services: ## long-lived services for `.venv/bin/python -m pytest …` (HOSTEDAI_TEST_PROFILE=<name>)
	@$(RUNNER) services

services-stop: ## stop them
	@$(RUNNER) services-stop

lock: ## write requirements*.txt anew from requirements*.in
	@$(RUNNER) lock

assets: ## build frontend/ into static/dist/ (needs npm)
	@$(RUNNER) assets

openapi: ## write the committed OpenAPI files anew
	@$(RUNNER) manage openapi

migrations: ## write migrations for changed models
	@$(RUNNER) manage makemigrations

faults: ## the long fault suite
	@$(RUNNER) faults $(ARGS)

bench: ## benchmarks
	@$(RUNNER) bench $(ARGS)

bench-commands: ## time of `make run` and `make test` from a fresh clone without caches (BENCH_ONLY=run or test)
	@$(RUNNER) bench commands

bench-billing: ## money under load: events, ledger, holds, proofs (BENCH_EVENTS=1000000), 1,000 invoices
	@$(RUNNER) bench billing invoices

bench-gateway: ## our gateway beside nginx and other gateways (BENCH_ROUNDS=5, BENCH_ONLY=nginx,envoy)
	@$(RUNNER) bench gateway

prove-money: ## 100,000 lines rated in SQL and Python, random lives of the books (BOOKS_EXAMPLES=200 BOOKS_STEPS=50)
	@$(RUNNER) services > /dev/null
	@BOOKS_EXAMPLES=$(or $(BOOKS_EXAMPLES),200) BOOKS_STEPS=$(or $(BOOKS_STEPS),50) .venv/bin/python -m pytest \
	  tests/apps/billing/test_books.py tests/apps/billing/test_differential.py -q -s --timeout 0 -o faulthandler_timeout=0 $(ARGS)

fuzz: ## ten minutes of coverage-guided fuzzing of the gateway's parser (FUZZ_SECONDS=600)
	@$(RUNNER) fuzz

vllm: ## the gateway's contract against a real vLLM on the CPU (a few gigabytes, minutes)
	@$(RUNNER) vllm $(ARGS)

evidence: ## faults and benchmarks, figures into evidence/
	@$(RUNNER) evidence
