# make demo   sets up .venv and runs the main job on a built-in set; ends with reports to open
# make test   sets up .venv and passes the tests
# make ledger renders LEDGER.md from ledger/*.json
PYTHON ?= python3
BIN := .venv/bin
# Where pip is told of a folder with a wheel of torch for this Python, that one is used; elsewhere uv picks the build that
# fits the machine (without a GPU: the CPU build, not gigabytes of CUDA). What is behind an address is taken as it is.
LINKS := $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
ABI := $(shell $(PYTHON) -c "import sys; print('cp%d%d' % sys.version_info[:2])" 2>/dev/null)
TORCH := $(findstring ://,$(LINKS))$(wildcard $(addsuffix /torch-*-$(ABI)-*.whl,$(LINKS)))
WHERE := $(addprefix --find-links ,$(LINKS)) $(if $(TORCH),,--torch-backend=auto)
INSTALL := $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(WHERE) -c constraints.txt

.PHONY: demo test test-slow lint format ledger clean

demo: .venv/.ready
	$(BIN)/reverie demo

test: .venv/.ready-test
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/.ready-test
	$(BIN)/python -m pytest -m slow --timeout 3000

lint: .venv/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ledger: .venv/.ready-test
	$(BIN)/python -m benchmarks ledger

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

.venv/.uv:
	@$(PYTHON) -c "import sys; sys.exit('Reverie needs Python 3.10 or later; name one: make PYTHON=python3.12 ...' if sys.version_info < (3, 10) else 0)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv
	@touch $@

.venv/.ready: .venv/.uv pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

.venv/.ready-test: .venv/.uv pyproject.toml constraints.txt
	$(INSTALL) -e '.[test]'
	@touch $@ .venv/.ready
