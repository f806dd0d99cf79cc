# make run     the page, on http://127.0.0.1:7860
# make test    everything that must hold        make e2e, make reliability: parts of it
# make check   style and types                  make fix: mend what can be mended
# make models-matrix  every family at every task, and which checks it passes
# make bench   how fast it is, as ratios        make docs: the tables in the README
# make space NAME=you/kinora [HARDWARE=t4-small]  the commit checked out, as a Hugging Face Space
# make pictures  the pictures in the README, taken of the app
# make lock    what the images install, by hash      make audit: are there known holes in it
#
# Set-up goes into .venv, once; it is done again when a requirements file changes.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13 python3.10; do \
	$$p -c '$(FITS)' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
RUN := $(BIN)/python

# Without an NVIDIA GPU the CPU build of torch does, at a tenth of the download.
TORCH_CPU := https://download.pytorch.org/whl/cpu
IS_CPU := [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi && curl -fsI -m 5 $(TORCH_CPU)/torch/
INSTALL = extra=""; if $(IS_CPU); then extra="--extra-index-url $(TORCH_CPU)"; fi >/dev/null 2>&1; \
	$(RUN) -m pip install -q --disable-pip-version-check $$extra

AXE := node_modules/axe-core/axe.min.js

.PHONY: help run models-matrix test e2e reliability check fix bench docs pictures space lock \
	audit clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: .venv/.run
	@$(RUN) app.py

test: .venv/.dev $(AXE) debian
	@$(RUN) -m pytest -q -n 2 -m "not e2e and not slow" --timeout 600
	@$(RUN) -m pytest -q -n 2 --dist loadfile -m "slow and not e2e" --timeout 900
	@$(RUN) -m pytest -q -m e2e --timeout 900

e2e: .venv/.dev $(AXE) debian
	@$(RUN) -m pytest tests/e2e

reliability: .venv/.dev debian
	@KINORA_RELIABILITY=full $(RUN) -m pytest -q -p tests.goals -m goal --timeout 3600

models-matrix: .venv/.dev
	@$(RUN) -m pytest -q -p tests.matrix tests/pipelines/engine/families/test_families.py

check: .venv/.dev $(AXE)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m pyright --pythonpath $(RUN)
	@node_modules/.bin/biome check --error-on-warnings .
	@node_modules/.bin/tsc --project .

fix: .venv/.dev $(AXE)
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .
	@node_modules/.bin/biome check --write .

bench: .venv/.dev
	@$(RUN) -m bench

docs: .venv/.run
	@$(RUN) -m docs.tables

pictures: .venv/.dev debian
	@$(RUN) -m docs.pictures

# Typed text reaches the shell as variables, never as a part of the command.
space: export NAME := $(NAME)
space: export HARDWARE := $(HARDWARE)
space: .venv/.run
	@$(RUN) -m tools.space "$$NAME" "$$HARDWARE"

lock: .venv/.tools
	@$(RUN) docker/lock.py .venv/tools/bin/uv

audit: .venv/.tools
	@$(RUN) docker/audit.py .venv/tools/bin/pip-audit

clean:
	rm -rf .venv node_modules .pytest_cache .ruff_cache .hypothesis

# -- set-up --------------------------------------------------------------------------------------

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Kinora needs Python 3.10 to 3.13."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.txt | .venv/bin/python
	@echo "Installing what Kinora needs (once; about 2 GB, a few minutes) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt requirements-scale.txt | .venv/bin/python
	@echo "Installing what Kinora and its tests need (once; about 2 GB, a few minutes) ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $@ .venv/.run

# apart, so that they bring nothing into what they look at
.venv/.tools: | .venv/bin/python
	@$(PYTHON) -m venv .venv/tools
	@.venv/tools/bin/pip install -q --disable-pip-version-check "uv>=0.9,<1" "pip-audit>=2.9,<3"
	@touch $@

$(AXE): package-lock.json | debian
	@npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# A browser and npm for the end-to-end tests, the font the cartoon world is drawn with, and the
# servers of a fleet.
.PHONY: debian
debian:
	@missing=""; \
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing="chromium"; \
	[ -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ] \
		|| missing="$$missing fonts-noto-color-emoji"; \
	command -v curl >/dev/null || missing="$$missing curl ca-certificates"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v bindfs >/dev/null || missing="$$missing bindfs"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then \
			(apt-get update && DEBIAN_FRONTEND=noninteractive \
				apt-get install -y --no-install-recommends $$missing) >/dev/null; \
		else echo "Please install: sudo apt-get install $$missing"; fi; }
