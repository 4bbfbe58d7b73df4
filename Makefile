# Two commands from a fresh clone, with nothing but Python 3.11, make and a package index:
#   make demo    restore a damaged photograph and show what came of it
#   make test    run the fast tests
# Then:
#   make web     serve the page at http://127.0.0.1:7860
#   make install put the command `unveil` into ~/.local/bin (another place: make install BINDIR=/usr/local/bin)
# The first run creates $(VENV) and installs into it; later runs go straight to work.
#
# torch from the default index is the CUDA build (large). For the small CPU build:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"

VENV ?= .venv
PIP_FLAGS ?=
PYTEST_FLAGS ?=
JOBS ?= 0
BINDIR ?= $(HOME)/.local/bin
WEB_FLAGS ?=
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
endif

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input $(PIP_FLAGS) -c constraints.txt
# Threads that spin while they wait slow two busy processes down six-fold.
export OMP_WAIT_POLICY := PASSIVE
export UNVEIL_SCREENSHOTS

.PHONY: demo install web test test-web test-cluster test-package findings lint format docs venv clean
.DELETE_ON_ERROR:

demo: $(VENV)/.core
	@$(BIN)/python examples/demo.py

# A link to the environment of this clone, which it needs to stay; nothing that is not such a link is replaced.
install: $(VENV)/.web
	@mkdir -p "$(BINDIR)"
	@if [ -e "$(BINDIR)/unveil" ] && [ ! -L "$(BINDIR)/unveil" ]; then \
		echo "make: $(BINDIR)/unveil is there already and is no link; remove it, or name another place with BINDIR=" >&2; exit 1; fi
	@ln -sfn "$(abspath $(BIN))/unveil" "$(BINDIR)/unveil"
	@echo "Installed $(BINDIR)/unveil. Try: unveil restore photo.jpg"
	@case ":$$PATH:" in *":$(BINDIR):"*) ;; *) echo "$(BINDIR) is not on your PATH yet. Add it: export PATH=\"$(BINDIR):\$$PATH\"";; esac

# Options of the server: make web WEB_FLAGS="--port 8000"
web: $(VENV)/.web
	@$(BIN)/unveil web $(WEB_FLAGS)

# JOBS: worker processes, 0 for none. Each imports torch anew, which pays only once the tests take minutes (286 tests on two
# busy cores: 5 s with 0, 12 s with 2). One thread for each. All tests, slow ones too: make test PYTEST_FLAGS='-m ""'
test: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(PYTEST_FLAGS)

# The page in a real browser (Chromium, or whatever UNVEIL_BROWSER names), skipped with a word where there is none.
# Pictures of every state: make test-web UNVEIL_SCREENSHOTS=some/folder
test-web: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/web/test_browser.py -m slow -rs $(PYTEST_FLAGS)

# Ray on this machine, with workers that are killed.
test-cluster: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/jobs/test_cluster.py -m slow $(PYTEST_FLAGS)

# The wheel and the source archive, built and installed where nothing else is.
test-package: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_wheel.py -m slow $(PYTEST_FLAGS)

# Surprises about other libraries, each in an environment of its own: no part of the tests. See findings/README.md.
findings:
	@status=0; for f in findings/[a-z]*.sh; do echo "== $$f"; \
	PYTHON="$(PYTHON)" PIP_FLAGS="$(PIP_FLAGS) -c $(CURDIR)/constraints.txt" $$f || status=1; done; exit $$status

# All four speak, whichever complains first.
lint: $(VENV)/.dev
	@status=0; \
	$(BIN)/ruff check --output-format concise || status=1; \
	$(BIN)/ruff format --check --output-format concise || status=1; \
	$(BIN)/pyright --pythonpath $(BIN)/python || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The theme asks for updates and for the site's address where it can; nothing of that belongs into a build.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "Open site/index.html"

venv: $(VENV)/.dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; name one with PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) cannot create a virtual environment" \
		"(Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

# Stamps: an installation is repeated only when what it installs has changed. The sources are installed in place and need none.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Unveil into $(VENV) (minutes the first time: torch is large) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.web: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Unveil and its page into $(VENV) (minutes the first time: torch is large) ..."
	@$(PIP) -e '.[web]'
	@touch $(VENV)/.core $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Unveil and the tools of its developers into $(VENV) (minutes the first time: torch is large) ..."
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.core $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Unveil and what builds its documentation into $(VENV) ..."
	@$(PIP) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks recipes -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
