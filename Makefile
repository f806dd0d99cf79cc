# make run            start the app on http://127.0.0.1:7860
# make test           run all tests
#
# make check          lint and type check
# make fix            fix what the linter can fix, and format
# make e2e            only the browser tests
# make reliability    the reliability tests in full: kill -9 of workers and servers, twenty times
# make models-matrix  check every model family and pipeline class; writes a table in docs/models.md
# make bench          benchmarks, as ratios
# make docs           regenerate the tables in docs/
# make pictures       take the pictures of the README and the user guide
# make space NAME=you/kinora [HARDWARE=t4-small]   put the current commit on a Hugging Face Space
# make lock           write the lock files of the images
# make audit          look for known vulnerabilities in the locked packages
#
# The set-up goes into .venv, and runs again when a requirements file changes.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

FITS := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13 python3.10; do \
	$$p -c '$(FITS)' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
RUN := $(BIN)/python

# Without an NVIDIA GPU, the CPU build of torch is enough, at a tenth of the download.
TORCH_CPU := https://download.pytorch.org/whl/cpu
IS_CPU := [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi && curl -fsI -m 5 $(TORCH_CPU)/torch/
INSTALL = extra=""; if $(IS_CPU); then extra="--extra-index-url $(TORCH_CPU)"; fi >/dev/null 2>&1; \
	$(RUN) -m pip install -q --disable-pip-version-check $$extra

AXE := node_modules/axe-core/axe.min.js
PROMTOOL := $(BIN)/promtool

.PHONY: help run models-matrix test e2e reliability check fix bench docs pictures space lock \
	audit clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: .venv/.run
	@$(RUN) app.py

# All three parts run even if one fails. The last line of the output is pytest's summary.
# The slow tests wait more than they work, so three run at a time. The browser's come alone: beside
# other work they fail by the clock. Each file stays in one process: what it sets up is set up once.
# The many processes that the tests start should find compiled modules, whatever the environment says.
test: export PYTHONDONTWRITEBYTECODE :=
test: .venv/.dev $(AXE) debian $(PROMTOOL)
	@failed=0; \
	$(RUN) -m pytest -q -n 2 --dist loadfile -m "not e2e and not slow" --timeout 600 \
		--ignore=tests/e2e || failed=1; \
	$(RUN) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder \
		-m "slow and not e2e" --timeout 900 --ignore=tests/e2e || failed=1; \
	$(RUN) -m pytest -q -m e2e --timeout 900 tests/e2e || failed=1; \
	exit $$failed

e2e: .venv/.dev $(AXE) debian
	@$(RUN) -m pytest tests/e2e

reliability: .venv/.dev debian
	@KINORA_RELIABILITY=full $(RUN) -m pytest -q -p tests.goals -m goal --timeout 3600

models-matrix: .venv/.dev
	@$(RUN) -m pytest -q -p tests.matrix tests/pipelines/engine/families/test_families.py
	@KINORA_MATRIX=full $(RUN) -m pytest -v -p tests.pipelines.any.matrix tests/pipelines/any

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
	@$(RUN) -m tools.tables

pictures: .venv/.dev debian
	@$(RUN) -m tools.pictures
	@$(RUN) -m tools.guide_pictures

# Arguments reach the shell as variables, never as part of the command.
space: export NAME := $(NAME)
space: export HARDWARE := $(HARDWARE)
space: .venv/.run
	@$(RUN) -m tools.space "$$NAME" "$$HARDWARE"

lock: .venv/.tools
	@$(RUN) -m tools.lock .venv/tools/bin/uv

audit: .venv/.tools
	@$(RUN) -m tools.audit .venv/tools/bin/pip-audit

clean:
	rm -rf .venv node_modules .pytest_cache .ruff_cache .hypothesis

# -- set-up --------------------------------------------------------------------------------------

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Kinora needs Python 3.10 to 3.13."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.txt | .venv/bin/python
	@echo "Installing Kinora's packages (once; about 2 GB, a few minutes) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt requirements-scale.txt | .venv/bin/python
	@echo "Installing the packages of Kinora and its tests (once; about 2 GB, a few minutes) ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $@ .venv/.run

# In an environment of their own, so that they add no packages to the one they examine.
.venv/.tools: | .venv/bin/python
	@$(PYTHON) -m venv .venv/tools
	@.venv/tools/bin/pip install -q --disable-pip-version-check "uv>=0.9,<1" "pip-audit>=2.9,<3"
	@touch $@

$(AXE): package-lock.json | debian
	@npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# Only promtool of Debian's package `prometheus`: installing the package would start a server.
$(PROMTOOL): | debian .venv/bin/python
	@if command -v promtool >/dev/null; then ln -s "$$(command -v promtool)" $@; \
	elif command -v apt-get >/dev/null; then \
		folder=$$(mktemp -d) && here=$$PWD && cd "$$folder" \
		&& { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } \
			>/dev/null 2>&1 \
		&& dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool \
		&& mv usr/bin/promtool "$$here/$@"; rm -rf "$$folder"; \
	else echo "Please install promtool, which comes with Prometheus."; fi

# Programs of the tests: a browser and npm, the emoji font of the cartoon world, the servers that
# Kinora can use, and linters.
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
	ls /usr/lib/*/libGL.so.1 >/dev/null 2>&1 || missing="$$missing libgl1"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v sqlite3 >/dev/null || missing="$$missing sqlite3"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v shellcheck >/dev/null || missing="$$missing shellcheck"; \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then \
			(apt-get update && DEBIAN_FRONTEND=noninteractive \
				apt-get install -y --no-install-recommends $$missing) >/dev/null; \
		else echo "Please run: sudo apt-get install $$missing"; fi; }
