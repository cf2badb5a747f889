# This repository's own commands. The project that the template generates has its own Makefile.
PYTHON ?= python3
VENV := .venv/bin
DEMO := demo/customer-churn
# Further options of pytest, for example: make test-engine ARGS="-k lane"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-engine demo test test-engine test-template test-recipes test-soak test-fast test-uvicorn mutation lint format typecheck coverage lock wheel check-wheel engine-project dashboards clean \
	bench-cli bench-data bench-iceberg bench-pit bench-windows bench-online bench-registry bench-automl bench-automl-best bench-serving bench-features bench-by-key bench-stall bench-batch-scoring bench-drift bench-drift-quality bench-drift-real bench-counting bench-forecast bench-training bench-rare bench-orchestration

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Create .venv with Cookiecutter and the test tools
	@$(PYTHON) bootstrap.py

setup-engine:  ## Create engine/.venv, and Airflow's environment for the engine's tests
	@$(PYTHON) bootstrap.py engine > /dev/null

demo: setup  ## Bake a project with the default answers into demo/ and run it end to end
	@$(VENV)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir demo
	@$(MAKE) --no-print-directory -C $(DEMO) setup demo

test: test-engine test-template  ## Run all tests: the engine's, then the template's

test-engine:  ## The engine's tests, without a bake
	@airflow=$$($(PYTHON) bootstrap.py engine) && cd engine && MLOPS_AIRFLOW_VENV="$$airflow" .venv/bin/python -m pytest -n 2 --dist loadgroup --durations=15 $(ARGS)

test-soak: setup-engine  ## The full counts of kills, mutants and examples, and five minutes of everything at once
	@cd engine && MLOPS_TEST_SOAK=1 .venv/bin/python -m pytest -n 2 --dist loadgroup -m soak --durations=15 $(ARGS)

test-template: setup  ## The template's tests: bakes, installs, trains, serves and updates
	@$(VENV)/python -m pytest -n 2 --dist worksteal --durations=10 $(ARGS)

test-recipes: setup  ## The documents' recipes, each alone in a project; prints lines written and seconds (long; ARGS="-k lag")
	@$(VENV)/python -m pytest -m alone tests/test_recipes.py $(ARGS)

test-fast: setup  ## The template's tests that only bake
	@$(VENV)/python -m pytest -n auto -m "not slow" $(ARGS)

test-uvicorn: setup-engine  ## The serving lane on the lowest and the highest Uvicorn that the engine allows
	@cd engine && .venv/bin/python uvicorn_range.py $(ARGS)

mutation: setup-engine  ## Change one line at a time of access, lane, trust, gate and promotion: does a test notice? (hours; ARGS="--room trust --minutes 30")
	@cd engine && ENGINE_PYTHON="$$PWD/.venv/bin/python" .venv/bin/python -m uv run --quiet --no-project --with "cosmic-ray==8.7.0" -m mutation $(ARGS)

coverage: setup-engine  ## The engine's tests with branch coverage, and a page: engine/htmlcov/index.html
	@$(MAKE) --no-print-directory test-engine ARGS="--cov --cov-report=term:skip-covered --cov-report=html $(ARGS)"

lint: setup setup-engine  ## Check style, format and the engine's import contracts
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@cd engine && .venv/bin/lint-imports --no-cache

format: setup  ## Format everything, the generated project's sources included
	@$(VENV)/ruff check --fix --quiet .
	@$(VENV)/ruff format .
	@$(VENV)/python format_project.py

typecheck: setup-engine  ## Check the engine's types, strictly
	@cd engine && .venv/bin/mypy

lock:  ## Compile every lock after a change of dependencies; UPGRADE=1: with the newest versions
	@$(PYTHON) bootstrap.py lock $(if $(UPGRADE),--upgrade)

wheel: setup  ## Build the engine and vendor its wheel in the template
	@$(VENV)/python vendor_engine.py

check-wheel: setup  ## Compare the vendored wheel with a rebuild of engine/, file by file
	@$(VENV)/python vendor_engine.py check

engine-project: setup  ## Bake a project and copy what the engine's tests read of it
	@$(VENV)/python engine_project.py

dashboards: setup  ## Write the template's Grafana dashboards from dashboards/*.py, and the engine's copy
	@$(VENV)/python -m dashboards
	@$(VENV)/python engine_project.py

bench-cli: setup  ## Measure the start of the demo project's command line (run make demo first)
	@$(VENV)/python benchmarks/cli_startup.py $(DEMO)

bench-data: setup  ## Bronze to gold, 10 M rows, against a DuckDB script by hand; with two sources, too (16 minutes; run make demo first)
	@$(VENV)/python benchmarks/data.py $(DEMO)

bench-iceberg: setup  ## Appending to an Iceberg table against a plain Parquet write (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/iceberg.py $(DEMO)

bench-pit: setup  ## The point-in-time join against DuckDB's ASOF join (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/pit.py $(DEMO)

bench-windows: setup  ## Window features, 1 M questions and 10 M payments, against DuckDB by hand (10 minutes; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/windows.py $(DEMO)

bench-online: setup  ## Features by key against a raw SQLite SELECT (run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/online.py $(DEMO)

bench-registry: setup  ## The registry through MLflowManager against a raw MlflowClient (run make demo first)
	@$(VENV)/python benchmarks/registry.py $(DEMO)

bench-automl: setup  ## AutoML against FLAML, 60 CPU seconds each (an hour and a half; run make demo first)
	@$(VENV)/python benchmarks/automl.py $(DEMO)

bench-automl-best: setup-engine  ## AutoML against AutoGluon's best_quality, 300 seconds a set on all cores (two hours; ARGS="--minutes 60" goes on)
	@engine/.venv/bin/python benchmarks/automl_best.py $(ARGS)

bench-serving: setup  ## The service against model servers and empty ones (25 minutes; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/serving.py $(DEMO)

bench-features: setup  ## Five row features computed in the service, against the same five sent (2 minutes; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/features.py $(DEMO)

bench-by-key: setup  ## Six window features looked up by customer, against the same six sent (4 minutes; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/by_key.py $(DEMO)

bench-orchestration: setup  ## Airflow against the same commands in a shell: starts, memory, steps, a backfill of 30 days (25 minutes; run make demo first)
	@$(MAKE) --no-print-directory -C $(DEMO) airflow-setup
	@$(DEMO)/.venv/bin/python benchmarks/orchestration.py $(DEMO)

bench-stall: setup  ## Other callers' latency while one client posts hostile bodies (70 seconds; run make demo first)
	@$(DEMO)/.venv/bin/python benchmarks/stall.py $(DEMO)

bench-batch-scoring: setup  ## 5 M rows, Parquet to Parquet, against scikit-learn and MLflow (5 minutes; run make demo first)
	@$(VENV)/python benchmarks/batch_scoring.py $(DEMO)

bench-drift: setup-engine  ## A drift check of 1 M rows against Evidently's preset (5 minutes; then ARGS="--rows 10000000 --ours-only")
	@engine/.venv/bin/python benchmarks/drift.py $(ARGS)

bench-drift-quality: setup-engine  ## False alarms and power of the drift check where days differ (25 minutes; ARGS=--missing goes on)
	@OPENBLAS_NUM_THREADS=1 engine/.venv/bin/python benchmarks/drift_quality.py $(ARGS)

bench-drift-real: setup-engine  ## Whether drift in the features foretells a loss of quality: bike sharing, 2012 after 2011 (20 seconds; DATA=hour.csv ARGS="--nannyml PYTHON")
	@engine/.venv/bin/python benchmarks/drift_real.py $(DATA) $(ARGS) --picture docs/images/drift-real.png

bench-counting: setup-engine  ## What counting costs a request, against prometheus_client's own counters (15 seconds)
	@engine/.venv/bin/python benchmarks/counting.py

bench-forecast: setup-engine  ## Bike sharing a day ahead against seasonal naive and a model by hand (2 minutes; DATA=hour.csv)
	@engine/.venv/bin/python benchmarks/forecast.py $(DATA)

bench-training: setup-engine  ## 1.5 M rows trained with the default settings, against one fit by hand (5 minutes)
	@engine/.venv/bin/python benchmarks/training.py $(ARGS)

bench-rare: setup-engine  ## One positive row in a thousand, against a LightGBM tuned in 30 trials (8 minutes)
	@engine/.venv/bin/python benchmarks/rare.py $(ARGS)

clean:  ## Delete the demo, the environments and caches
	@rm -rf demo build .venv engine/.venv engine/htmlcov .pytest_cache .ruff_cache engine/.*_cache engine/.coverage
