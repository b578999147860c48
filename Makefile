# The everyday commands. `make` alone lists them; each installs its dependencies, and only once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Variables for the command line, for example `make e2e-emulator ARGS="--n-workers 8"`.
PYTHON ?=
MODE ?= process
ARGS ?=
REHEARSE ?=
TORCH_INDEX ?=
BASE ?= HEAD

BIN := .venv/bin
# Dependencies of neural networks are installed only when a test or a job needs them.
TORCH = TORCH_INDEX='$(TORCH_INDEX)' $(BIN)/python -m harness.stack.pytorch
# The page is tested in one of these; playwright drives it, and brings none of its own.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
IMAGE_OPTIONS := $(if $(TORCH_INDEX),--torch-index '$(TORCH_INDEX)')

# A stamp's name contains a checksum of the environment's requirements and of its location, because a
# virtual environment cannot be moved. The stamp is written last: without it the environment is rebuilt.
checksum = $(shell { pwd; cat $(1); } | cksum | cut -d ' ' -f 1)
REQUIREMENTS := .venv/.requirements-$(call checksum,requirements/harness.txt requirements/plot.txt requirements/dev.txt)
PROJECT := .venv/.project-$(call checksum,pyproject.toml harness/bin/harness)
# The page's code has packages of its own, by the environment's Node.js, and its build has a stamp like an environment.
NODE_MODULES := web/node_modules/.packages-$(call checksum,web/package-lock.json)
PAGE := harness/page/static/.sources-$(call checksum,$(shell find web -path web/node_modules -prune -o -type f -print | LC_ALL=C sort))
LOCALSTACK := .venv-localstack/.requirements-$(call checksum,requirements/localstack.txt)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo '  Variables: ARGS (for the command behind the target), PYTHON (default: the first that is 3.11 or newer),'
	@echo '  MODE (process, container), REHEARSE (1: emulated AWS), BASE (for bench-compare; default: HEAD), TORCH_INDEX (where pip finds the CPU build of PyTorch; default: where it finds all packages;'
	@echo '  see requirements/torch.txt).'

.PHONY: setup
setup: supported ## create the virtual environments; install the Lambda emulator and memcached
	@$(MAKE) --silent --no-print-directory --jobs=2 $(PROJECT) $(LOCALSTACK)
	@$(MAKE) --silent --no-print-directory $(PAGE) || { \
	    echo 'NOT BUILT: the page and reports, for want of their packages from npm; `make page` tries again. All else works.' >&2; \
	    [ -z "$${CI:-}" ]; }
	@$(BIN)/harness doctor --fix

.PHONY: test-local
test-local: setup ## run the unit, integration and end-to-end tests on this machine
	@# Neighbours stay on one process, which so starts the stack that they share once.
	@without=''; untested=(); \
	$(TORCH) || { without+=' and not torch'; untested+=('neural networks, for want of PyTorch'); }; \
	command -v $(BROWSERS) >/dev/null || { without+=' and not browser'; untested+=('the page, for want of Chromium'); }; \
	$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist worksteal -m "not slow and not containers$$without" tests $(ARGS); \
	[ $${#untested[@]} -eq 0 ] || { printf 'NOT TESTED: %s.\n' "$${untested[@]}" >&2; [ -z "$${CI:-}" ]; }

.PHONY: nightly
nightly: setup torch ## run the tests that a change does not: the slow ones, every fault, 10,000 schedules
	$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist worksteal -m "slow and not faults and not containers" tests
	@$(MAKE) --no-print-directory test-faults simulate

.PHONY: test-faults
test-faults: setup ## run every fault scenario with every algorithm and collective, and print the table
	$(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist loadgroup tests/faults $(ARGS)

.PHONY: e2e-emulator
e2e-emulator: ready-for-$(MODE) ## train with 4 worker Lambdas on this machine, from data to model
	$(BIN)/harness run --mode $(MODE) --n-workers 4 --n-epochs 2 $(ARGS)

OWN_MODEL = $(if $(MODEL),--model $(MODEL))
.PHONY: deploy-aws
deploy-aws: setup images ## verify the images and deploy to AWS; with REHEARSE=1, to emulated AWS on this machine; MODEL=my_model.py:Net: with your own model
	$(BIN)/harness images verify --if-needed $(OWN_MODEL)
	$(BIN)/harness deploy $(OWN_MODEL) $(if $(REHEARSE),--rehearse --yes) $(ARGS)

.PHONY: destroy-aws
destroy-aws: $(PROJECT) ## remove the deployment from AWS (ARGS=--empty: with its data); with REHEARSE=1, the rehearsal and its data
	$(BIN)/harness destroy $(if $(REHEARSE),--rehearse --yes --empty) $(ARGS)

.PHONY: test-containers
test-containers: setup ready-for-container ## run the same tests in containers, and the tests of the images; ARGS='-m slow': the slow ones
	TESTCONTAINERS_RYUK_DISABLED=true $(BIN)/pytest --mode container --numprocesses=2 --dist loadgroup -m "not slow" \
	    tests/containers tests/integration/test_gateway.py tests/integration/test_channel.py tests/integration/test_data.py \
	    tests/e2e $(ARGS)

.PHONY: matrix
matrix: setup torch ## run a small job in every cell of the training matrix and print the table
	$(BIN)/python -m benchmarks.matrix $(ARGS)

.PHONY: bench
bench: setup ## measure every figure and its lower bound, print the table, write it into benchmarks/README.md
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-compare
bench-compare: setup ## compare this tree with revision BASE, measured in turns: make bench-compare BASE=main
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.compare '$(BASE)' $(ARGS)

.PHONY: bench-recovery
bench-recovery: setup ## compare the time of rounds with and without the recovery layer
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks --only recovery

.PHONY: bench-forecast
bench-forecast: setup ## compare forecasts with runs on the emulated network: 12 jobs, 10 minutes
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.forecast $(ARGS)

.PHONY: simulate
simulate: $(PROJECT) ## test the recovery layer with 10,000 random schedules of faults, in virtual time; print which rules they took
	HARNESS_SCHEDULES=$${HARNESS_SCHEDULES:-10000} $(BIN)/pytest --quiet --capture=no --timeout=0 \
	    tests/simulation/test_recovery.py $(ARGS)

.PHONY: mutate
mutate: $(PROJECT) ## remove every rule of recovery once, and show what gives its absence away, in some minutes
	HARNESS_SCHEDULES=$${HARNESS_SCHEDULES:-1000} $(BIN)/pytest --quiet --capture=no --timeout=0 \
	    tests/simulation/test_mutants.py $(ARGS)

.PHONY: base-images
base-images: $(PROJECT) ## pull the base images; build stand-ins for those that cannot be pulled
	$(BIN)/harness images bases $(IMAGE_OPTIONS) $(ARGS)

.PHONY: images
images: base-images ## build the functions' images
	$(BIN)/harness images build $(OWN_MODEL) $(IMAGE_OPTIONS)

.PHONY: screenshots
screenshots: setup ## take the documentation's pictures of the page anew, by Chromium (ARGS: which views)
	$(BIN)/python -m fixtures.screenshots $(ARGS)

.PHONY: page
page: $(PAGE) ## build the page's scripts and styles from web/

.PHONY: docs
docs: $(PROJECT) ## build the documentation into build/site; a warning is an error, and so is a link that leads nowhere
	@rm -rf build/site
	$(BIN)/sphinx-build -E -W --keep-going -n -q -j auto -d build/site-cache docs build/site
	$(BIN)/python -m fixtures.site.checks build/site

.PHONY: lint
lint: $(PROJECT) $(NODE_MODULES) ## check style, types and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	web/npm run --silent lint

.PHONY: format
format: $(PROJECT) $(NODE_MODULES) ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	web/npm run --silent format

.PHONY: clean
clean: ## stop this clone's stack and remove all generated files
	@if [ -e .harness/state.json ] && [ -x $(BIN)/harness ]; then $(BIN)/harness down || true; fi
	rm -rf .harness .venv .venv-localstack .tox .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist docs/generated *.egg-info web/node_modules harness/page/static

.PHONY: ready-for-process ready-for-container
ready-for-process: setup
ready-for-container: images

.PHONY: torch
torch: setup
	@$(TORCH)

.PHONY: supported
supported:
ifneq ($(shell uname -s),Linux)
	@echo 'Process mode needs Linux; on macOS and Windows use docker-compose.yml.' >&2; exit 1
endif

$(REQUIREMENTS):
	@PYTHON='$(PYTHON)' requirements/venv.sh .venv requirements/harness.txt requirements/plot.txt requirements/dev.txt
	@touch $@

$(PROJECT): $(REQUIREMENTS)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f .venv/.project-*
	@touch $@

$(LOCALSTACK):
	@PYTHON='$(PYTHON)' requirements/venv.sh .venv-localstack requirements/localstack.txt
	@touch $@

$(NODE_MODULES): $(REQUIREMENTS)
	@web/npm ci --silent || { echo 'The packages of web/package-lock.json could not be installed by npm; `web/npm ci` shows why.' >&2; exit 1; }
	@touch $@

$(PAGE): $(NODE_MODULES)
	@web/npm run --silent build
	@touch $@
