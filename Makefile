# The template's own commands. The project that it generates has its own Makefile.
PYTHON ?= python3
VENV := .venv/bin
DEMO := demo/customer-churn

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint format lock clean \
	bench-cli bench-data bench-iceberg bench-pit bench-online bench-registry bench-automl bench-serving bench-batch-scoring

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Create .venv with Cookiecutter and the test tools
	@$(PYTHON) bootstrap.py

demo: setup  ## Bake a project with the default answers into demo/ and run it end to end
	@$(VENV)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir demo
	@$(MAKE) --no-print-directory -C $(DEMO) setup demo

test: setup  ## Run all tests (bakes, installs, trains and serves; about half an hour)
	@$(VENV)/python -m pytest --durations=10

test-fast: setup  ## Run the tests that only bake (about a minute)
	@$(VENV)/python -m pytest -n auto -m "not slow"

lint: setup  ## Check the hooks, the tests and the benchmarks
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .

format: setup  ## Format them, and the generated project's sources
	@$(VENV)/ruff check --fix --quiet .
	@$(VENV)/ruff format .
	@$(VENV)/python format_project.py

lock:  ## Resolve requirements-dev.txt again
	@$(PYTHON) bootstrap.py lock

bench-cli: setup  ## Measure the start of the demo project's command line (run make demo first)
	@$(VENV)/python benchmarks/cli_startup.py $(DEMO)

bench-data: setup  ## Bronze to gold, 10 M rows, against a DuckDB script by hand (8 minutes; run make demo first)
	@$(VENV)/python benchmarks/data.py $(DEMO)

bench-iceberg: setup  ## Appending to an Iceberg table against a plain Parquet write (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/iceberg.py $(DEMO)

bench-pit: setup  ## The point-in-time join against DuckDB's ASOF join (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/pit.py $(DEMO)

bench-online: setup  ## Features by key against a raw SQLite SELECT (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/online.py $(DEMO)

bench-registry: setup  ## The registry through MLflowManager against a raw MlflowClient (run make demo first)
	@$(VENV)/python benchmarks/registry.py $(DEMO)

bench-automl: setup  ## AutoML against FLAML, 60 CPU seconds each (an hour and a half; run make demo first)
	@$(VENV)/python benchmarks/automl.py $(DEMO)

bench-serving: setup  ## The service against model servers and empty ones (25 minutes; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/serving.py $(DEMO)

bench-batch-scoring: setup  ## 5 M rows, Parquet to Parquet, against scikit-learn and MLflow (5 minutes; run make demo first)
	@$(VENV)/python benchmarks/batch_scoring.py $(DEMO)

clean:  ## Delete the demo, the environment and caches
	@rm -rf demo build .venv .pytest_cache .ruff_cache
