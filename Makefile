# Each target does its own set-up; the second time that takes a moment. `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
MAIN := .venvs/main/bin

.DEFAULT_GOAL := help
.PHONY: help setup check test accept parity families faults soak fullinstall bench demo panel constraints zip clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

setup:  ## make the virtual environments, and install what the system lacks (as root) or name it
	@$(PYTHON) tools/setup_environments.py

check: setup  ## lint, format, types, import contracts, unit tests
	@$(MAIN)/python tools/run_suites.py check

test: setup  ## everything: check, then the suites in every Blender, the installed zip and the real window
	@$(MAIN)/python tools/run_suites.py all

accept: setup  ## the acceptance figures of control maps and poses, a line for each
	@$(MAIN)/python tools/accept.py

parity: setup  ## our sampling beside diffusers' own pipelines, a line for each combination of options
	@$(MAIN)/python tools/parity.py

families: setup  ## what each model family does, from real runs, a line for each; fails where one claims too much
	@$(MAIN)/python tools/families.py

faults: setup  ## kill, starve, mislead and crowd the backend, a line for each scenario
	@$(MAIN)/python tools/faults.py

soak: setup  ## work for ten minutes (UNDERPAINT_SOAK_MINUTES) and see that nothing grows
	@$(MAIN)/python -m pytest -p no:cacheprovider -s tests/soak

fullinstall: setup  ## install the whole backend from inside Blender into a fresh folder, and paint with it (gigabytes)
	@$(MAIN)/python tools/run_suites.py fullinstall

bench: setup  ## sampling beside diffusers' own pipelines; OPTIONS="--help" says what can be chosen
	@$(MAIN)/python bench/sampling.py $(OPTIONS)

demo: setup  ## the main job, into demo/out/
	@$(MAIN)/python demo/run.py

panel: setup  ## the standalone panel
	@$(MAIN)/python -m underpaint.qt_panel

constraints:  ## pin anew what the environments hold
	@$(PYTHON) tools/setup_environments.py --compile

zip: setup  ## the extension, into dist/
	@$(MAIN)/python tools/build_extension.py

clean:  ## remove what was built, but not the environments
	@rm -rf build dist tests/artefacts .pytest_cache .ruff_cache .import_linter_cache
