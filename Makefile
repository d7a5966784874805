# `make` lists the targets. Everything is set up on first use, from the pinned requirements.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON3 ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?=
BUNDLE ?=
OUT ?=

export UV_PYTHON_DOWNLOADS := never
# Containers often set it; every start would then compile 3000 modules again, for five seconds.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONWARNINGS := ignore::FutureWarning,ignore::DeprecationWarning
# Nobody's cluster is touched unasked; TEST_KUBECONFIG asks.
unexport KUBECONFIG

# One install serves all targets; it is made anew when the requirements change.
READY := $(VENV)/.installed
$(READY): requirements/lock.txt requirements/uv.txt pyproject.toml
	$(PYTHON3) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/lock.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
	  --editable . --editable model-init
	touch $@

.PHONY: help setup run studio test lint tools unit fuzz cluster-test on-cluster interop-seldon interop-triton frameworks bench load soak generate lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## Install everything into .venv

run: $(READY) ## The main job: reimagine a scene and a photograph, paint it (PHOTO=…, BUNDLE=…, OUT=…)
	$(if $(filter-out pocket,$(BUNDLE)),$(BIN)/model-init pull --bundle $(BUNDLE))
ifdef PHOTO
	$(BIN)/imagegraph run reimagine "$(PHOTO)" $(if $(OUT),--out "$(OUT)") $(if $(BUNDLE),--bundle $(BUNDLE))
else
	$(BIN)/python pocket/examples/reimagine.py $(if $(OUT),--out "$(OUT)") $(if $(BUNDLE),--bundle $(BUNDLE))
endif

studio: $(READY) page ## Open the studio on http://127.0.0.1:7860, with its store in studio-data/
	$(BIN)/imagegraph studio $(if $(BUNDLE),--bundle $(BUNDLE))

# Where no cluster can run, a sentence says that it was left out, but continuous integration fails.
test: ## Check and test everything; say how long each stage took
	@set -e; run() { for stage in "$$@"; do \
	  start=$$(date +%s); $(MAKE) --no-print-directory $$stage; \
	  times="$$times$$stage: $$(( $$(date +%s) - start )) s\n"; \
	done; }; \
	run setup tools lint unit; \
	if test -n "$(TEST_KUBECONFIG)" || why=$$($(BIN)/python -m tests.cluster.local check 2>&1); \
	then run images on-cluster; \
	else why="not tested on Kubernetes: $$why\n"; fi; \
	printf "%b" "$$times$$why"; test -z "$$why" -o -z "$(CI)"

lint: $(READY) ## Style, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint components/Dockerfile model-init/Dockerfile
	$(BIN)/imagegraph generate --check
	@$(MAKE) --no-print-directory page-lint

# Tests that need helm, kubectl or Prometheus are skipped without them, but not in continuous integration.
tools:
	@$(MAKE) --no-print-directory cluster-tools || test -z "$(CI)"

# On a busy machine one of a thousand deadlines may be missed: what failed is tried once more, by itself.
unit: $(READY) page page-unit ## Run the tests that need no cluster
	$(BIN)/pytest --durations 10 --numprocesses auto --maxprocesses 4 --dist loadfile -m "not cluster" \
	  || { test $$? = 1 && $(BIN)/pytest --last-failed -m "not cluster"; }

fuzz: $(READY) ## Try 100 000 cases and more of the property tests, other ones each time (ten minutes)
	FUZZ_TIMES=20 $(BIN)/pytest --durations 20 --numprocesses auto --maxprocesses 4 tests/fuzz

cluster-test: $(READY) cluster-tools images ## Run the tests on a fresh Kubernetes of this machine (TEST_KUBECONFIG=…)
	@$(MAKE) --no-print-directory on-cluster

on-cluster:
	$(BIN)/pytest --durations 10 tests/cluster || { test $$? = 1 && $(BIN)/pytest --last-failed tests/cluster; }

# Nothing here builds or fetches Seldon Core: whoever has its binaries gives their paths.
interop-seldon: $(READY) cluster-tools ## Test with Seldon Core 1.17.1 (SELDON_EXECUTOR=… SELDON_OPERATOR=…)
	$(BIN)/pytest --durations 10 -rs tests/interop

# The environment that TRITON_PYTHON belongs to has nvidia-pytriton 0.7.0, numpy 1.26.4 and onnxruntime.
interop-triton: $(READY) ## Test with Triton itself (TRITON_PYTHON=…)
	$(BIN)/pytest -rs tests/interop/test_triton.py

# Each in an environment of its own, made at first use; two need Java.
frameworks: $(READY) ## Test what is exported in every framework that it is exported to
	FRAMEWORKS=1 $(BIN)/pytest --durations 10 --timeout 1800 -rs tests/export

bench: $(READY) ## Measure, and write docs/performance.md (needs h2load)
	$(BIN)/python load-tests/report.py

# What else a scenario needs (--kill-command, --traffic, …) goes into MORE; `python load-tests/load.py run --help` lists it.
# Make says 2 for whatever fails; the script itself tells what was broken from what could not be done.
load: $(READY) ## Load a release, report, fail by its thresholds (HOST=http://… SCENARIO=smoke MORE=…)
	@test -n "$(HOST)" || { echo "HOST=http://… says which server to load, such as HOST=http://localhost:8080" >&2; exit 2; }
	$(BIN)/python load-tests/load.py run $(or $(SCENARIO),smoke) --host $(HOST) $(MORE)

soak: $(READY) page ## Work embedded, plain and in the studio for 20 minutes, and write docs/performance.md
	$(BIN)/python load-tests/report.py soak.py

generate: $(READY) ## Write all generated files
	$(BIN)/imagegraph generate

LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11
# What the images get is what the tests ran with.
LOCK_IMAGE := $(LOCK) --constraints requirements/lock.txt pyproject.toml \
  --extra models --extra serve --extra redis --extra otel --extra gcs --extra studio --extra batch
LOCK_MODEL_INIT := $(LOCK) --constraints requirements/lock.txt model-init/pyproject.toml

lock: $(READY) ## Pin the newest versions that pyproject.toml allows
	$(LOCK) --all-extras --excludes requirements/excludes-cpu.txt pyproject.toml --output-file requirements/lock.txt
	$(LOCK_IMAGE) --excludes requirements/excludes-cpu.txt --excludes requirements/excludes-image-cpu.txt \
	  --output-file requirements/image-cpu.txt
	$(LOCK_IMAGE) --output-file requirements/image-cuda.txt
	$(LOCK) requirements/image-tools.in --output-file requirements/image-tools.txt
	$(LOCK_MODEL_INIT) --output-file model-init/requirements.txt
	$(LOCK_MODEL_INIT) --extra gcs --extra s3 --output-file model-init/requirements-cloud.txt

clean: ## Remove what the targets made, but not the weights
	rm -rf $(VENV) out studio/page/dist studio/page/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

include photo/photo.mk
include pocket/pocket.mk
include studio/page/page.mk
include tests/cluster/cluster.mk
