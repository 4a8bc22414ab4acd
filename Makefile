# Every target first installs the packages that it needs. The first target that runs creates .venv, which takes up 7 GB
# (only 180 MB for k8s-check and k8s-search).
# Pass options to a command with ARGS: make tune ARGS="--data PATH --trials 20"

# All data is stored in ./results; STORAGE selects a different folder: make tune STORAGE=DIR, make serve STORAGE=DIR

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ifdef STORAGE
export RAYGENRE_STORAGE := $(STORAGE)
endif

# Tests that share a server or a cluster run in the same worker; see tests/conftest.py.
WORKERS := -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: help tune serve ui dashboard openapi screenshots test test-slow test-all check format bench bench-quick \
	k8s-check k8s-search clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tune: .venv/run ## run a search and register its winner (without --data: on synthetic tracks)
	$(BIN)/python experiments/tune.py $(ARGS)

serve: .venv/run ## serve the champion on localhost:8000
	$(BIN)/raygenre serve $(ARGS)

ui: .venv/run ## start MLflow on localhost:5000 to compare runs
	$(BIN)/raygenre ui $(ARGS)

dashboard: .venv/dashboard ## start Optuna's dashboard on 127.0.0.1:8080, for running and finished studies
	$(BIN)/raygenre dashboard $(ARGS)

openapi: .venv/run ## regenerate the endpoint's OpenAPI document
	$(BIN)/python -m serve.web.openapi

screenshots: .venv/test ## run a small search and retake the screenshots of MLflow and the page in docs/
	mkdir -p docs
	SCREENSHOTS=docs $(BIN)/pytest -q -m slow tests/browser/test_mlflow.py "tests/browser/test_page.py::test_the_timeline_of_a_long_mix_grows"

test: .venv/test ## run all tests except the slow ones, or a few: make test ARGS="tests/search -m unit"
	$(BIN)/pytest $(WORKERS) -p no:schemathesis -m "not slow" $(ARGS)

test-slow: .venv/test ## run the slow tests: long fault tests and complete commands
	$(BIN)/pytest $(WORKERS) -m "slow and not alone" $(ARGS) || [ $$? -eq 5 ]  # status 5: no tests were selected
	$(BIN)/pytest -m "slow and alone" $(ARGS) || [ $$? -eq 5 ]

test-all: .venv/test ## run all tests: most in two processes, then those that must run alone
	$(BIN)/pytest $(WORKERS) -m "not alone" $(ARGS)
	$(BIN)/pytest -m alone $(ARGS)

check: .venv/test ## format, lint, types, package order, words, links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_words.py
	$(BIN)/pytest -q tests/project/test_floors.py tests/project/test_tree.py tests/project/test_links.py

format: .venv/test ## format the code and fix lint errors
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/bench ## run the benchmarks, on your own data with make bench CLIPS=FOLDER ARGS="--data PATH"
	$(BIN)/python benchmarks/levels.py $(if $(CLIPS),--clips "$(CLIPS)")
	$(BIN)/python benchmarks/epoch.py $(ARGS)
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.serving $(ARGS)
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.studies

bench-quick: .venv/bench ## run smaller benchmarks with the same ratios, in a few minutes
	$(BIN)/python benchmarks/levels.py --most 5 --streamed 100 $(if $(CLIPS),--clips "$(CLIPS)")
	$(BIN)/python benchmarks/epoch.py --most 80 --repeats 1 $(ARGS)
	$(BIN)/python benchmarks/orchestration.py --sleepers 4 --seconds 5 --trials 20
	$(BIN)/python benchmarks/startup.py --repeats 1
	$(BIN)/python -m benchmarks.tracking --trials 5
	$(BIN)/python -m benchmarks.serving --rounds 1 --seconds 2 --only "FastAPI + uvicorn" --only LitServe \
		--only "mlflow models serve" --only "Ray Serve, defaults" $(ARGS)
	$(BIN)/python -m benchmarks.batch --songs 40 --many 0
	$(BIN)/python -m benchmarks.studies --trials 4 --epochs 1

k8s-check: .venv/k8s ## check the Kubernetes overlays against schemas, security rules and policies
	$(BIN)/python -m k8s.check $(OVERLAY)

k8s-search: .venv/k8s ## print a search job for kubectl apply: make k8s-search STUDY=first TRIALS=20 OVERLAY=gpu
	@$(BIN)/python -m k8s.search $(or $(OVERLAY),dev) $(STUDY) $(TRIALS) $(ARGS)

clean: ## delete .venv and caches, but keep the results
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/run .venv/dashboard .venv/test .venv/bench: pyproject.toml constraints.txt
	$(PYTHON) scripts/install.py $(filter-out run,$(@F))
	@touch $@ .venv/run

.venv/k8s: pyproject.toml constraints.txt  # a few packages, without the project
	$(PYTHON) scripts/install.py k8s
	@touch $@
