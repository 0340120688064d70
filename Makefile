# The commands people type. The first one builds .venv; later ones find it ready.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTPUT ?= output
DEMO := data/demo
BUNDLE := $(BIN)/python -m monai.bundle run

.PHONY: help demo test lint bench train benchmark-data benchmark-data-2 benchmark report follow-up package clean \
	monai-label tracking archive-demo orthanc test-server test-tracking test-cluster test-deploy test-browser test-archive
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.run: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: $(VENV)/.run ## segment generated mammograms, or yours: make demo INPUT=<file or folder>
ifdef INPUT
	$(BUNDLE) --config_file configs/inference.json --input_dir "$(INPUT)" --output_dir "$(OUTPUT)"
else
	$(BUNDLE) generate --config_file configs/data_phantom.json --dataset_dir $(DEMO) \
		--source::training 0 --source::validation 0 --source::testing 2
	$(BUNDLE) --config_file configs/inference.json --input_dir $(DEMO)/images --output_dir "$(OUTPUT)"
endif
	@echo "results: $(OUTPUT)/*/picture.png, mask.nii.gz, findings.json; $(OUTPUT)/run_report.json"

# A test that hangs is told by its stack, a worker that dies by its test; the run ends then (a new worker would wait for ever).
NO_HANG := --max-worker-restart=0 -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true

TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile $(NO_HANG)

test: $(VENV)/.dev ## all tests but the slow ones
	$(TESTS)

lint: $(VENV)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy scripts

bench: $(VENV)/.dev ## time every stage, against floors and plain references
	$(BIN)/python -m scripts.bench

train: $(VENV)/.run ## train HDoGReg's network on phantoms
	$(BUNDLE) training --config_file configs/train.json

benchmark-data: $(VENV)/.run ## freeze validation and test sets: make benchmark-data BACKGROUNDS=<folder of normal mammograms>
	@test -n "$(BACKGROUNDS)" || { echo "BACKGROUNDS: not given; want a folder of normal mammograms" >&2; exit 2; }
	$(BUNDLE) freezing --config_file configs/data_benchmark.json --background_dir "$(BACKGROUNDS)"

benchmark-data-2: $(VENV)/.run ## the same of version 2 (then: make benchmark BENCHMARK=data/benchmark_2)
	@test -n "$(BACKGROUNDS)" || { echo "BACKGROUNDS: not given; want a folder of normal mammograms" >&2; exit 2; }
	$(BUNDLE) freezing --config_file "['configs/data_benchmark.json','configs/data_benchmark_2.json']" \
		--background_dir "$(BACKGROUNDS)"

BENCHMARK := data/benchmark
METHOD ?= hdogreg
SHIFTED := $(patsubst $(BENCHMARK)/%.json,%,$(wildcard $(BENCHMARK)/datalist.json $(BENCHMARK)/plain.json $(BENCHMARK)/phantoms.json $(BENCHMARK)/shift_*.json))
METHODS_COMMAND := $(BIN)/python -m scripts.evaluation methods

benchmark: $(VENV)/.run ## evaluate one method on all frozen sets: make benchmark [METHOD=slim_fcn]
	for name in $(SHIFTED); do $(METHODS_COMMAND) --methods $(METHOD) --data configs/data_benchmark.json --dataset-dir $(BENCHMARK) \
		--output runs/$(notdir $(BENCHMARK)) --datalist-file $$name.json \
		--report runs/$(notdir $(BENCHMARK))/$(METHOD)/$$name || exit 1; done
	$(BIN)/python -m scripts.evaluation summary $(SHIFTED:%=runs/$(notdir $(BENCHMARK))/$(METHOD)/%) | \
		tee runs/$(notdir $(BENCHMARK))/$(METHOD)/summary.md
	$(if $(filter-out data/benchmark,$(BENCHMARK)),$(BIN)/python -m scripts.evaluation inserted \
		runs/$(notdir $(BENCHMARK))/$(METHOD)/datalist --dataset-dir $(BENCHMARK))

DATA ?= configs/data_benchmark.json

report: $(VENV)/.run ## evaluate all methods, and one page that compares them: make report [METHODS=..] [DATA=.. DATASET_DIR=.. NOTE=..] [FORCE=1]
	$(METHODS_COMMAND) $(if $(METHODS),--methods $(METHODS)) --data $(DATA) --report runs/report \
		--dataset-dir "$(DATASET_DIR)" --note "$(NOTE)" $(if $(FORCE),--force)

$(VENV)/.follow-up: requirements-follow-up.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-follow-up.txt
	touch $@

PRIOR ?= data/follow_up/prior.dcm
CURRENT ?= data/follow_up/current.dcm
FOLLOW_UP := --config_file configs/follow_up.json

follow-up: $(VENV)/.follow-up ## compare two exams (a generated pair, or yours): make follow-up [PRIOR=<file> CURRENT=<file>]
ifeq ($(PRIOR)$(CURRENT),data/follow_up/prior.dcmdata/follow_up/current.dcm)
	$(BUNDLE) generate $(FOLLOW_UP)
endif
	$(BUNDLE) --config_file configs/inference.json --preset sensitive --input_dir "$(PRIOR)" --output_dir "$(OUTPUT)/prior"
	$(BUNDLE) --config_file configs/inference.json --preset sensitive --input_dir "$(CURRENT)" --output_dir "$(OUTPUT)/current"
	$(BUNDLE) follow_up $(FOLLOW_UP) --prior "$(OUTPUT)/prior" --current "$(OUTPUT)/current" --clear_preset balanced \
		--output_dir "$(OUTPUT)/follow_up"
	@echo "results: $(OUTPUT)/follow_up/follow_up.png, .json, .csv"

TRACKING_VENV := .venv-tracking
TRACKING_PORT ?= 5000

$(TRACKING_VENV)/.run: requirements.txt requirements-tracking.txt
	test -x $(TRACKING_VENV)/bin/python || $(PYTHON) -m venv $(TRACKING_VENV)
	$(TRACKING_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-tracking.txt pytest
	touch $@

tracking: $(TRACKING_VENV)/.run ## MLflow's page of the tracked runs, on loopback: make tracking [TRACKING_PORT=5000]
	$(TRACKING_VENV)/bin/mlflow server --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1 --port $(TRACKING_PORT)

test-tracking: $(TRACKING_VENV)/.run ## training, inference and evaluation tracked by MLflow, and read back
	OMP_NUM_THREADS=1 $(TRACKING_VENV)/bin/python -m pytest -q -m tracking tests/outputs/test_tracking.py

NAME := mammography_microcalcification_segmentation
VERSION = $(shell sed -n 's/^    "version": "\(.*\)",/\1/p' metadata.json)
PARTS := configs docs models scripts LICENSE large_files.yml metadata.json requirements.txt

package: $(VENV)/.run ## of the last commit: a wheel (console command, Python function) and the model zoo's zip, in dist/
	rm -rf build && mkdir -p build/bundle dist
	git archive HEAD | tar -x -C build/bundle
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist build/bundle
	git archive --format zip --prefix $(NAME)/ --output dist/$(NAME)_v$(VERSION).zip HEAD $(PARTS)
	rm -rf build
	@ls -l dist

LABEL_VENV := .venv-monai-label
LABEL_PYTHON := $(LABEL_VENV)/bin/python
STUDIES ?= data/studies/images
PORT ?= 8000

$(LABEL_VENV)/.run: requirements.txt $(wildcard monai_label/requirements*.txt monai_label/*.py)
	test -x $(LABEL_PYTHON) || $(PYTHON) -m venv $(LABEL_VENV)
	$(LABEL_PYTHON) -m pip install --quiet --disable-pip-version-check -r monai_label/requirements.txt
	$(LABEL_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -r monai_label/requirements_no_deps.txt
	$(LABEL_PYTHON) monai_label/install_stand_ins.py
	touch $@

monai-label: $(LABEL_VENV)/.run ## MONAI Label's server in an environment of its own, on phantoms or yours: make monai-label [STUDIES=<folder>] [PORT=8000]
ifeq ($(STUDIES),data/studies/images)
	$(LABEL_PYTHON) -m monai.bundle run generate --config_file configs/data_phantom.json --dataset_dir data/studies \
		--source::training 4 --source::validation 0 --source::testing 0
endif
	$(LABEL_PYTHON) monai_label/start.py --studies "$(STUDIES)" --port $(PORT)

test-server: $(LABEL_VENV)/.run orthanc ## the real MONAI Label server against the command line (minutes)
	OMP_NUM_THREADS=1 $(LABEL_PYTHON) -m pytest -q -m server tests/server

$(VENV)/.cluster: requirements-cluster.txt $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-cluster.txt
	touch $@

test-cluster: $(VENV)/.cluster ## Ray workers on this machine, some of them killed (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cluster tests/cluster

DEPLOY_VENV := .venv-deploy

$(DEPLOY_VENV)/.run: requirements.txt deploy/requirements.txt
	test -x $(DEPLOY_VENV)/bin/python || $(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/requirements.txt
	touch $@

test-deploy: $(DEPLOY_VENV)/.run ## the bundle as an application of MONAI Deploy, in an environment of its own
	OMP_NUM_THREADS=1 $(DEPLOY_VENV)/bin/python -m pytest -q -m deploy tests/deploy

$(VENV)/.browser: requirements-browser.txt $(VENV)/.dev
	command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		apt-get install --yes --no-install-recommends chromium chromium-driver
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	touch $@

test-browser: $(VENV)/.browser ## the study page in headless Chromium, by clicks and keys (Debian's chromium, as root where it is missing)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -m browser tests/outputs/study

$(VENV)/.archive: requirements-archive.txt $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-archive.txt
	touch $@

ORTHANC := orthanc orthanc-dicomweb
HAS_ORTHANC = command -v Orthanc >/dev/null && test -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so

orthanc: # Debian's, if it is not here; the service that comes with it is stopped
	@$(HAS_ORTHANC) || { test "$$(id -u)" = 0 || { echo "error: Orthanc: got none; want it installed: sudo apt-get install $(ORTHANC)" >&2; exit 2; }; }
	@$(HAS_ORTHANC) || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(ORTHANC); \
		systemctl disable --now orthanc 2>/dev/null || true; }

archive-demo: $(VENV)/.archive orthanc ## archive in, archive out: Orthanc on loopback, generated studies, results back
	$(BIN)/python -m scripts.archive.demo

test-archive: $(VENV)/.archive orthanc ## the archive worker against the real Orthanc: round trip, kills, DIMSE (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m archive tests/archive

clean: ## remove generated phantoms, caches and output/ (not your data, runs/ or .venv)
	rm -rf data/phantom data/phantom_second data/demo data/studies data/follow_up data/federated data/patches data/archive output
