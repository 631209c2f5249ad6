# Every recipe runs inside .venv, which the first one makes.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python

.PHONY: train test test-slow test-cuda lint assets venv neural-renderer benchmarks clean

venv: .venv/installed

# The stamp is written last: an interrupted install is done again.
.venv/installed: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q '.[dev]'
	touch $@

assets: venv
	$(PY) -m datasets.synthetic.make_assets
	$(PY) -m models.keypoints.fetch

train: assets
	$(PY) -m datasets.synthetic.generate --preset quick
	$(PY) train.py --cfg_file configs/free/pymaf_quick.yaml

test: assets lint
	$(PY) -m pytest

test-slow: venv
	$(PY) -m pytest -m slow

test-cuda: venv
	$(PY) -m pytest -m cuda

lint: venv
	$(PY) -m ruff check .

neural-renderer: venv
	$(PY) -m utils.build_neural_renderer

benchmarks: venv
	$(PY) -m benchmarks

clean:
	rm -rf .venv
