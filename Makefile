# `make demo` and `make test` do all set-up first, and skip it when it is up to date.
# Set-up lives in .venv; nothing outside this folder changes.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.ready
DEMO  := demo_output

# Pinned, because the results in the README were measured with it, and installed first, so that a
# local build for processors is taken where there is one: make TORCH=... for another.
TORCH := torch==2.13.0

# Two processes with a thread each are faster here than threads that wait for each other.
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export MPLBACKEND = Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Each makes a page of docs/ by the script of its name in tests/benchmarks.
PAGES := accuracy ablation atmosphere failures aerosol forecast desis flex field sensors red loop pressures spheres speed worlds anchors hostile kill grids
.PHONY: help setup demo test style docs test-slow bench $(PAGES) model emulator discrepancy mutants clean

help:
	@echo "make demo      set up, fit the embedded flight line, map its fluorescence, compare with truth"
	@echo "make test      set up, check style and types, run the tests"
	@echo "make docs      the documentation as a site, in site/ (a minute)"
	@echo "make test-slow the tests that take minutes (half an hour)"
	@echo "make mutants   bugs put in by hand, one at a time: which of them the tests see (a quarter hour)"
	@echo "make bench     speed and accuracy of the simulation beside published figures"
	@echo "make speed     what a map costs, beside an earlier commit on the same machine (half an hour)"
	@echo "make accuracy  four lines with known truth, all baselines, the information limit (20 minutes)"
	@echo "make ablation  what each part of the method buys on these lines (half an hour)"
	@echo "make atmosphere what knowing pressure and terrain buys (ten minutes; needs reference data)"
	@echo "make worlds    maps of worlds that are not ours, against their truth (half an hour)"
	@echo "make anchors   real spectra with our spectroscopy, SIF of deserts (ten minutes; needs reference data)"
	@echo "make kill      commands killed with signal 9 at random moments lose nothing (an hour)"
	@echo "make failures  what wrong assumptions do to SIF (a minute)"
	@echo "make hostile   600 bad inputs: each is refused or makes the map it should (ten minutes)"
	@echo "make forecast  the masked-token model beside ridge and cheap forecasts (half an hour; needs reference data)"
	@echo "make grids     the same model on HEALPix and reduced Gaussian grids (half an hour; needs reference data)"
	@echo "make desis     DESIS scenes with known truth, the shape of reflectance, time and memory (half an hour)"
	@echo "make flex      FLEX scenes under our own and another's physics (twenty minutes; needs reference data)"
	@echo "make field     real FloX spectra beside SPECFIT, SFM and iFLD (two minutes; needs reference data)"
	@echo "make sensors   how well a pixel of each sensor can tell fluorescence (a minute)"
	@echo "make red       SIF at 687 nm of scenes with known truth (half an hour)"
	@echo "make loop      the forecast of the air in the retrieval, beside analysis and climatology (ten minutes)"
	@echo "make pressures when a retrieval needs the forecast: twenty lines under a year of real pressure (twenty minutes; needs reference data)"
	@echo "make aerosol   the aerosol forecast with and without weather, beside cheap ones and a network (a quarter of an hour)"
	@echo "make spheres   ocean, ice and aerosol seasons ahead beside cheap forecasts (five minutes; needs reference data)"
	@echo "make model     train the model that ships again (half an hour)"
	@echo "make emulator  rebuild the emulator from full radiative transfer (hours)"
	@echo "make discrepancy what the simulation may be wrong by (three minutes)"
	@echo "make clean     remove what these made, .venv included"

setup: $(STAMP)

# The interpreter is tried, not only found: a version manager's shim may point nowhere.
$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 /usr/bin/python3; do \
	    if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then \
	        echo "set-up: $$($$python -V) in $(VENV)"; \
	        $$python -m venv --clear $(VENV) && exit 0; \
	    fi; \
	done; \
	echo "No Python 3.11 or later with venv was found; name one: make PYTHON=/path/to/python" >&2; \
	exit 1

# Each step is tried again after a pause, and what is installed already is not fetched again.
$(STAMP): pyproject.toml | $(BIN)/python
	@try() { "$$@" || { echo "trying again in 10 s" >&2; sleep 10; "$$@"; }; }; \
	pip() { $(BIN)/python -m pip install --quiet --retries 10 "$$@"; }; set -e; \
	echo "set-up: installing (some minutes the first time)"; \
	try pip "$(TORCH)"; \
	try pip hatchling; \
	try pip --no-build-isolation -e ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/sifnet fit data/demo/*_radiance.hdr -o $(DEMO)
	$(BIN)/sifnet evaluate $(DEMO)/*_sif.nc --truth data/demo/truth.nc --baselines
	@echo "The map is $(DEMO)/*_sif.png, the numbers $(DEMO)/*_sif.nc, the story $(DEMO)/report.html"

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The site is site/index.html"

test: export OMP_NUM_THREADS = 1
test: style
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

test-slow: export OMP_NUM_THREADS = 1
test-slow: $(STAMP)
	$(BIN)/pytest -m slow

mutants: $(STAMP)
	$(BIN)/python tests/mutants/run.py

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/forward.py

$(PAGES): $(STAMP)
	$(BIN)/python tests/benchmarks/$@.py

model: $(STAMP)
	$(BIN)/sifnet pretrain -o data/model_hyplant.ckpt
	$(BIN)/sifnet pretrain --sensor desis --steps 2500 -o data/model_desis.ckpt

# Every state is a file, so this may be interrupted and started again at any time.
emulator: $(STAMP)
	$(BIN)/sifnet build-emulator emulator_database -o data --states 3184 --workers $$(nproc) --resume
	$(BIN)/sifnet build-emulator emulator_database_red -o data --states 352 --workers $$(nproc) --resume --red

discrepancy: $(STAMP)
	$(BIN)/python data/make_discrepancy.py

clean:
	rm -rf $(VENV) $(DEMO) site build dist .mypy_cache .pytest_cache .ruff_cache
