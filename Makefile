# Needs python3 (3.10 or later) with venv, and nothing else.
# Every target sets up what it needs.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
HOST   ?= 127.0.0.1
PORT   ?= 10000
NAME   ?= $(USER)
SOURCES := cmd_chat.py cli settings i18n protocol transport server client

.PHONY: setup serve cluster connect test test-elsewhere test-lowest lint types measures picture soak bench bench-all pyz pyz-all man i18n release-check terminals fronts networks autobahn windows platforms clean

# What chatting needs. The sources are compiled ahead, since running writes nothing. A Python that is
# too old says so itself, where pip would list hundreds of versions that do not fit; what such a one, or
# one that has been removed since, has left in $(VENV) is made anew.
setup: $(VENV)/ready
	@$(PY) -m compileall -q $(SOURCES)

$(VENV)/ready: requirements.txt
	@$(PYTHON) cmd_chat.py --version > /dev/null
	@echo "Setting up, once: Python packages in $(VENV) …"
	@$(PYTHON) -m venv $$($(PY) cmd_chat.py --version > /dev/null 2>&1 || echo --clear) $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-cluster: requirements-cluster.txt $(VENV)/ready
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-cluster.txt
	@touch $@

$(VENV)/ready-dev: requirements-dev.txt requirements-cluster.txt $(VENV)/ready
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# A server for trying things out, on this machine only (HOST=0.0.0.0: for others, too), with a
# password made for this run.
serve: setup
	@password=$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(12))'); \
	echo "Password (shown only once): $$password"; \
	ADMIN_PASSWORD="$$password" CMD_CHAT_RUN=make exec $(PY) cmd_chat.py serve $(HOST) $(PORT)

# The same with two servers that share an engine, which is started, too: redis-server or valkey-server.
cluster: setup $(VENV)/ready-cluster
	@$(PY) -B -m tools.cluster $(PORT)

# Also ROOM=team, and anything else in ARGS="--renderer minimal". It never fails: what was wrong
# has been said, and make would only add that there was something.
connect: setup
	@CMD_CHAT_RUN=make $(PY) cmd_chat.py connect $(HOST) $(PORT) $(NAME) \
		$(if $(ROOM),--room $(ROOM)) $(ARGS) || :

# All tests, or TESTS=tests/test_x.py. What a shell says of bytecode is not for these: to rewrite the
# assertions of all tests takes ten seconds, in each of four processes, and as bytecode they are kept.
TESTS ?=
test: setup $(VENV)/ready-dev
	PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 4 --dist worksteal $(TESTS)

# The same on a machine that lacks much of what this one has, booted this second. Linux.
test-elsewhere: setup $(VENV)/ready-dev
	.ci/elsewhere $(PY) -m pytest -n 4 --dist worksteal $(TESTS)

# The same with the oldest packages that requirements.txt and requirements-cluster.txt allow.
test-lowest: requirements.txt requirements-cluster.txt requirements-dev.txt
	@$(PYTHON) -m venv .venvs/lowest
	@sed 's/>=/==/' requirements.txt requirements-cluster.txt > .venvs/lowest/constraints.txt
	@.venvs/lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements-dev.txt -c .venvs/lowest/constraints.txt
	.venvs/lowest/bin/python -B -m pytest -n 4 --dist worksteal $(TESTS)

lint: $(VENV)/ready-dev
	$(PY) -m ruff check --no-cache .

types: $(VENV)/ready-dev
	$(PY) -m mypy
	$(PY) -m mypy --platform win32 --follow-imports silent client/bots/windows.py

# How long files and functions are, which names mean two things, and what does not hold.
measures: $(VENV)/ready-dev
	@$(PY) -B -m tools.measures

# docs/parts.svg, from the sources and the tables of docs/DESIGN.md.
picture: $(VENV)/ready-dev
	@$(PY) -B -m tools.parts_picture

# Thousands of random histories, from SEED, instead of the suite's fixed sample.
SEED     ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))')
EXAMPLES ?= 2000
soak: setup $(VENV)/ready-dev
	@echo "SEED=$(SEED) EXAMPLES=$(EXAMPLES)"
	CMD_CHAT_SOAK=$(EXAMPLES) CMD_CHAT_SEED=$(SEED) $(PY) -m pytest -m soak \
		--hypothesis-seed=$(SEED) --timeout 7200

# Measurements, each as a ratio to a reference beside it. Linux; nothing else should be running.
bench: setup $(VENV)/ready-dev
	@for part in delivery latency login start; do $(PY) -B -m bench.$$part || exit 1; done

bench-all: setup $(VENV)/ready-dev
	@$(PY) -B -m bench.delivery --all
	@for part in latency login start programs client idle restart overload strangers flood budget; do \
		$(PY) -B -m bench.$$part || exit 1; done

# The program and all it needs in one file: for this machine, or for every machine that there are
# wheels for. Python 3.10 to 3.14 as far as they are installed here add their bytecode.
pyz: $(VENV)/ready
	@$(PY) -B -m tools.build_pyz --out dist/cmd_chat.pyz

pyz-all: $(VENV)/ready
	@$(PY) -B -m tools.build_pyz --all --out dist/all/cmd_chat.pyz

# The manual page, from the tables of subcommands and settings: man dist/cmd_chat.1
man: $(VENV)/ready
	@$(PY) -B -m tools.make_man --out dist/cmd_chat.1

# The catalogues of all languages: what the sources say, compiled, and checked.
i18n: $(VENV)/ready-dev
	@$(PY) -B -m tools.translations update
	@$(PY) -B -m tools.translations compile
	@$(PY) -B -m tools.translations check

# Both sides' WebSocket against Autobahn's suite; needs CPython 2.7, as pyenv has it.
autobahn: $(VENV)/ready
	@$(PY) -B -m tools.autobahn

# What a release needs beside green tests: every language complete, and nothing left to compile.
release-check: $(VENV)/ready-dev
	@$(PY) -B -m tools.translations check

# Real terminals under a virtual X server: the tables of docs/TERMINALS.md. Debian, as root the first
# time; some minutes.
TERMINALS ?=
terminals: $(VENV)/ready
	@dpkg-query -W $$(cat tools/terminals/packages) > /dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$(cat tools/terminals/packages); }
	@$(PY) -B -m tools.terminals $(TERMINALS)

# The client through real proxies: the table of docs/PROXIES.md. Debian, as root; two minutes.
networks: $(VENV)/ready-dev
	@dpkg-query -W $$(cat tools/networks/packages) > /dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$(cat tools/networks/packages); }
	@$(PY) -B -m tools.networks

# What may stand in front of a server, with the lines of docs/TLS.md and docs/CLUSTER.md: real clients through
# nginx and others. Debian, as root the first time; three minutes.
FRONTS ?=
fronts: $(VENV)/ready
	@dpkg-query -W $$(cat tools/fronts/packages) > /dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$(cat tools/fronts/packages); }
	@$(PY) -B -m tools.fronts $(FRONTS)

# Other systems, tried for real: Windows' Python under Wine; CPython 3.14, musl and arm64. What they need
# comes into build/platforms from the registries. Linux x86-64; minutes, and not part of the tests.
windows: $(VENV)/ready
	@$(PY) -B -m tools.platforms.windows

platforms: $(VENV)/ready
	@$(PY) -B -m tools.platforms.systems

clean:
	rm -rf $(VENV) .venvs dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
