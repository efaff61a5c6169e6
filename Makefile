# Each target is a thin line over a plain command. `book` and `test` work on a fresh clone: they set up .venv first.
PYTHON ?= python3
PROFILE ?= quick
SET ?=
BIN := .venv/bin

.PHONY: book test lab serve pdf bench replicate controls sae clean

book: .venv/.installed  ## run every chapter, build the site: make book PROFILE=quick SET="layer=5 n_prompts=200"
	$(BIN)/python -m plateaus_utils.book --profile $(PROFILE) $(if $(SET),--set $(SET))

test: .venv/.installed  ## the test suite
	$(BIN)/python -m pytest

lab: .venv/.installed  ## JupyterLab, with the scripts in notebooks/ opened as notebooks
	JUPYTER_CONFIG_DIR=.venv/etc/jupyter $(BIN)/jupytext-config set-default-viewer python
	JUPYTER_CONFIG_DIR=.venv/etc/jupyter $(BIN)/jupyter lab notebooks

serve:  ## the built site at http://127.0.0.1:8000
	$(PYTHON) -m http.server --bind 127.0.0.1 --directory _build/html 8000

pdf: .venv/.installed  ## the built site as one PDF, printed by chromium
	$(BIN)/python -m plateaus_utils.book.pdf

bench: .venv/.installed  ## perturbations per second on this machine
	$(BIN)/python -m plateaus_utils.bench

MODELS ?= untrained
replicate: .venv/.installed  ## what decides each statement, for other models: make replicate MODELS="untrained gemma-3-270m"
	$(BIN)/python -m plateaus_utils.replicate $(MODELS)

controls: .venv/.installed  ## what the rules of verdicts say where the answer is known, for the results of PROFILE
	$(BIN)/python -m plateaus_utils.controls results/$(PROFILE)

sae: .venv/.installed  ## train the SAEs that saes/ lacks (about an hour on two cores); needs NLTK's corpora, see README
	$(BIN)/python -m plateaus_utils.sae_training

clean:  ## removes what a run of the book generates, but keeps results/ and .venv, which take long to make again
	rm -rf _build executed book/_vendor

# The marker .installing becomes the stamp at the very end: an install that was killed is redone from nothing.
.venv/.installed: requirements.txt pyproject.toml
	test ! -e .venv/.installing || rm -rf .venv
	$(PYTHON) -m venv .venv
	touch .venv/.installing
	$(BIN)/pip install -qq --no-compile --requirement requirements.txt
	$(BIN)/pip install -qq --no-compile --no-deps --editable .
	mv .venv/.installing .venv/.installed
