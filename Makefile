# `make run` runs the whole chain, `make test` the tests, `make lint` the checks of style and types.

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= sample
MIRROR ?=
# Which build of torch: auto (by the GPU there is), cpu, cu128 ...; see `uv pip install --help`.
TORCH_BACKEND ?= auto
TORCH_VERSION = 2.13.0

# Threads that spin while they wait make training far slower beside any other busy process.
export OMP_WAIT_POLICY = PASSIVE

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Anything that depends on $(READY) has the locked packages, torch and this package itself.
LOCKED = $(VENV)/.stamp-lock
READY = $(VENV)/.stamp-ready

.PHONY: run baseline test torture lint install

run: $(READY)
	$(BIN)/python -m spacy project run all . --vars.profile $(PROFILE) --vars.mirror "$(MIRROR)"

baseline: $(READY)
	$(BIN)/python -m spacy project run baseline . --vars.profile $(PROFILE) --vars.mirror "$(MIRROR)"

# Two processes, a file of tests at a time, as files share what takes long to make.
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Ten minutes of kills, full disks and damage; see docs/torture.md.
torture: $(READY)
	$(BIN)/python scripts/torture.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(READY)

# The lock is complete but for torch, so its dependencies need no resolution (which would bring a GPU build).
# Without a GPU the small CPU build is enough; `+cpu` is known to some package indexes only, and uv knows where
# to find every build.
$(LOCKED): requirements.lock Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-deps -r requirements.lock
	case "$(TORCH_BACKEND)" in cpu) true;; auto) ! command -v nvidia-smi >/dev/null;; *) false;; esac \
	  && $(PIP) install --quiet "torch==$(TORCH_VERSION)+cpu" \
	  || $(BIN)/uv pip install --python $(BIN)/python --torch-backend=$(TORCH_BACKEND) "torch==$(TORCH_VERSION)"
	touch $@

# The packaged pipelines too, so that examples and profiles that go on from them find them.
$(READY): $(LOCKED) pyproject.toml
	$(PIP) install --quiet --no-deps --no-build-isolation -e . packages/xx_mminibert-*.whl packages/xx_mminibert_lg-*.whl
	touch $@
