# Every target sets up what it needs: the first run creates .venv, which takes 7 GB.
# Options of a command go into ARGS: make tune ARGS="--data PATH --trials 20"

# Everything is kept in ./results, or where STORAGE says: make tune STORAGE=DIR, make serve STORAGE=DIR

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
ifdef STORAGE
export RAYGENRE_STORAGE := $(STORAGE)
endif

# Tests that share a server or a cluster stay in one worker, see tests/conftest.py
WORKERS := -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: help tune serve ui dashboard openapi screenshots test test-slow test-all check format bench bench-quick \
	k8s-check k8s-search clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tune: .venv/run ## search, and register the winner (without --data: on synthetic tracks)
	$(BIN)/python experiments/tune.py $(ARGS)

serve: .venv/run ## answer on localhost:8000 with the champion
	$(BIN)/serve run --address local serve.app:app $(ARGS)

ui: .venv/run ## compare runs in MLflow on localhost:5000
	@uri=$$($(BIN)/python -c 'from raygenre.system.storage import resolve; print(resolve().tracking_uri)'); \
	case $$uri in \
		http*) $(BIN)/python -c 'from raygenre.system.storage import resolve; print("The runs are on the tracking server:", resolve().server)' ;; \
		*) $(BIN)/mlflow ui --backend-store-uri "$$uri" $(ARGS) ;; \
	esac

dashboard: .venv/dashboard ## follow a study in Optuna's dashboard on 127.0.0.1:8080, while it runs and after
	$(BIN)/raygenre dashboard $(ARGS)

openapi: .venv/run ## write the endpoint's OpenAPI document anew
	$(BIN)/python -m serve.web.openapi

screenshots: .venv/test ## take the README's pictures of MLflow anew, after a small search
	mkdir -p docs
	SCREENSHOTS=docs $(BIN)/pytest -q -m slow tests/browser/test_mlflow.py

test: .venv/test ## the tests, but for the slow ones (part of them: make test ARGS="tests/search -m unit")
	$(BIN)/pytest $(WORKERS) -p no:schemathesis -m "not slow" $(ARGS)

test-slow: .venv/test ## long fault tests and whole commands
	$(BIN)/pytest $(WORKERS) -m "slow and not alone" $(ARGS) || [ $$? -eq 5 ]  # 5: ARGS chose none of these
	$(BIN)/pytest -m "slow and alone" $(ARGS) || [ $$? -eq 5 ]

test-all: .venv/test ## all tests: first those that mind no company, two at a time, then the others alone
	$(BIN)/pytest $(WORKERS) -m "not alone" $(ARGS)
	$(BIN)/pytest -m alone $(ARGS)

check: .venv/test ## format, lint, types, package order, words, links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_words.py
	$(BIN)/pytest -q tests/project/test_floors.py tests/project/test_tree.py tests/project/test_links.py

format: .venv/test ## put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/bench ## measure, with tables (your own: make bench CLIPS=FOLDER ARGS="--data PATH")
	$(BIN)/python benchmarks/levels.py $(if $(CLIPS),--clips "$(CLIPS)")
	$(BIN)/python benchmarks/epoch.py $(ARGS)
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python -m benchmarks.tracking
	$(BIN)/python -m benchmarks.serving $(ARGS)

bench-quick: .venv/bench ## the same ratios from less of everything, in some minutes
	$(BIN)/python benchmarks/levels.py --most 5 --streamed 100 $(if $(CLIPS),--clips "$(CLIPS)")
	$(BIN)/python benchmarks/epoch.py --most 80 --repeats 1 $(ARGS)
	$(BIN)/python benchmarks/orchestration.py --sleepers 4 --seconds 5 --trials 20
	$(BIN)/python -m benchmarks.tracking --trials 5
	$(BIN)/python -m benchmarks.serving --rounds 1 --seconds 2 $(ARGS)

k8s-check: .venv/test ## render the Kubernetes overlays and hold them to schemas, security and policies
	$(BIN)/python -m k8s.check $(OVERLAY)

k8s-search: .venv/run ## print a search for kubectl apply: make k8s-search STUDY=first TRIALS=20 OVERLAY=gpu
	@$(BIN)/python -m k8s.search $(or $(OVERLAY),dev) $(STUDY) $(TRIALS) $(ARGS)

clean: ## take away .venv and caches, but no results
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/run .venv/dashboard .venv/test .venv/bench: pyproject.toml constraints.txt
	$(PYTHON) scripts/install.py $(filter-out run,$(@F))
	@touch $@ .venv/run
