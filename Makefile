# make demo   a registration of a real CT, from nothing to the report and the viewer in a browser
# make test   the tests that matter most, in a few minutes; make test-all runs every test
# Each sets up what it needs in .venv. Without make, on Windows for one, the same is
#
#   py -m venv .venv
#   .venv\Scripts\pip install -e ".[viewer]"
#   .venv\Scripts\mvreg demo --out demo-result --open
#   .venv\Scripts\mvreg view demo-result\chest
#
# and, for the tests,
#
#   .venv\Scripts\pip install -e ".[dev,bench,viewer]"
#   .venv\Scripts\python -m pytest

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install

# Named exactly and installed first: "torch>=..." alone would fetch the newest, with gigabytes of CUDA, even where this one is
# offered as a small build for the CPU. In pyproject.toml the pin would bind everybody, Slicer's Python included.
TORCH ?= torch==2.13.0

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow test-all test-slicer walks pictures docs notebooks bench tables lint format cmake-lists release release-check clean

help:
	@echo "make demo              register a CT to X-rays, open the report, then the viewer until Ctrl-C; HEADLESS=1 opens neither"
	@echo "make demo NETWORK=1    the same, by a network, too, which needs PyTorch"
	@echo "make test              run the tests that matter most; ARGS=\"Testing/geometry -q\" some of them, ARGS=\"-n 0\" one after another"
	@echo "make test-slow         run the others: fuzzers, browsers, trainings"
	@echo "make test-all          run every test"
	@echo "make test-slicer SLICER=/path/to/Slicer   run the tests of panel and scene in Slicer itself; INSTALL=1: pip may install pytest there"
	@echo "make walks SLICER=/path/to/Slicer         do a person's tasks in Slicer itself, and count clicks, seconds and standstills"
	@echo "make pictures SLICER=/path/to/Slicer      take the pictures of the tutorial and of README in Slicer itself"
	@echo "make docs              build the documentation as a site in build/site"
	@echo "make notebooks         run the notebooks of docs/notebooks again, and keep their outputs"
	@echo "make bench             measure speed, memory and accuracy beside other programs; ARGS=\"--only render\" a part, ARGS=--json as JSON"
	@echo "make tables            measure speed and accuracy of docs/tables again: many hours; what was interrupted goes on; docs/datasets.md: from which data"
	@echo "make lint              check the code with ruff and mypy; make format: format it"
	@echo "make cmake-lists       bring the extension's lists of files up to date, after a file was added, moved or removed"
	@echo "make release           build what a release has into dist, and try it; nothing is sent anywhere"
	@echo "make release-check     the same, and check workflows, metadata, packaging and documentation; PYTHONS=\"python3.10 python3.14\": try it in these"
	@echo "make clean             remove .venv and whatever else can be made again"
	@echo "PYTHON=python3.12      as a further argument: the Python for a new .venv"

demo: $(VENV)/$(if $(filter-out 0,$(NETWORK)),.network,.demo)
	$(VENV)/bin/mvreg demo --out demo-result $(if $(filter-out 0,$(HEADLESS)),,--open)
	$(if $(filter-out 0,$(HEADLESS)),,$(VENV)/bin/mvreg view demo-result/chest)

# Two workers, each with one file at a time: 2 GB of memory each.
# In ARGS, -n 0 is for a debugger, a larger -n for more cores.
# Tests, and the many processes that they start, are compiled once, also where a container says that nothing be kept.
PYTEST := PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.test
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(VENV)/.test
	$(PYTEST) -m slow $(ARGS)

test-all: $(VENV)/.test
	$(PYTEST) $(ARGS)

# Slicer's own application, with settings of its own; on a screen that is not there where there is none.
SLICER ?= Slicer
IN_SLICER = $(if $(or $(DISPLAY),$(filter-out Linux,$(shell uname -s))),,xvfb-run --auto-servernum --server-args="-screen 0 1920x1200x24") \
  "$(SLICER)" --no-splash --ignore-slicerrc --disable-settings --additional-module-paths "$(CURDIR)/MultiViewRegistration" \
  --python-script "$(CURDIR)/Testing/slicer_tests/run.py"

# Slicer is started again where a test ends it.
test-slicer:
	$(PYTHON) Testing/slicer_tests/go_on.py $(IN_SLICER) --tests $(if $(INSTALL),--install) $(ARGS)

walks:
	$(IN_SLICER) --walk Testing/walks/panel.py $(if $(INSTALL),--install) $(ARGS)

pictures:
	$(IN_SLICER) --walk Testing/slicer_tests/walk.py --pictures $(if $(INSTALL),--install) $(ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

notebooks: $(VENV)/.test
	$(VENV)/bin/python docs/notebooks/run.py

BENCHMARKS := $(VENV)/bin/python -m benchmarks

# @: nothing but the answer on stdout.
bench: $(VENV)/.test
	@$(BENCHMARKS) speed $(ARGS)

# Speed first, since it wants the machine for itself; accuracy.sh says what needs ../shared/data, docs/datasets.md what that is.
tables: $(VENV)/.test
	$(BENCHMARKS) speed --page docs/tables/benchmarks.md
	PYTHON=$(VENV)/bin/python benchmarks/accuracy.sh
	$(VENV)/bin/python docs/short_tables.py docs/tables/*.md

lint: $(VENV)/.test
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy
	$(PYTEST) -n 0 -q Testing/test_house.py

format: $(VENV)/.test
	$(VENV)/bin/python -m ruff check --fix .
	$(VENV)/bin/python -m ruff format .

cmake-lists:
	$(PYTHON) Testing/cmake_lists.py --write

release: $(VENV)/.release
	PYTHON=$(VENV)/bin/python .ci/release

# All of a release that needs no person's account.
release-check: $(VENV)/.test $(VENV)/.release
	$(VENV)/bin/zizmor --offline --min-severity medium .github
	$(VENV)/bin/sp-repo-review .
	$(VENV)/bin/uv tool run cffconvert --validate  # apart: it wants an older jsonschema
	$(VENV)/bin/codespell
	.ci/clone_size
	$(PYTEST) -n 0 -q Testing/test_packaging.py Testing/docs/test_site.py Testing/docs/test_commands.py
	PYTHON=$(VENV)/bin/python .ci/release

# The stamps .made, .demo, .network and .test appear only after everything before them worked.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.10 or newer (Debian: apt install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 10) and f"{sys.executable} is Python {v[0]}.{v[1]}, but 3.10 or newer is needed: name one with PYTHON=...")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV) for the demo: about 0.5 GB to download, once."
	$(PIP) -e '.[viewer]'
	@touch $@

$(VENV)/.network: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV) for the demo with PyTorch: about 0.8 GB to download, once; 3.2 GB where it comes with CUDA."
	$(PIP) '$(TORCH)'
	$(PIP) -e '.[torch,viewer]'
	@touch $(VENV)/.demo $@

$(VENV)/.test: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV) for the tests: about 1.2 GB to download, once; 3.3 GB where PyTorch comes with CUDA."
	$(PIP) '$(TORCH)'
	$(PIP) -e '.[dev,bench,viewer]'
	@touch $(VENV)/.demo $(VENV)/.network $@

$(VENV)/.docs: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV) for the documentation: about 0.2 GB to download, once."
	$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.release: pyproject.toml | $(VENV)/.made
	$(PIP) 'pip>=25.1'  # it knows groups
	$(PIP) --group release
	@touch $@

clean:
	rm -rf $(VENV) demo-result build dist MultiViewRegistration/*.egg-info .pytest_cache .ruff_cache .hypothesis
	find MultiViewRegistration Testing benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
