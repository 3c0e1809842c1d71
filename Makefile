# Two commands do all set-up: `make demo` and `make test`. Each recipe is one line; set-up is in .ci/setup.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo demo-llm test test-long lint bench bench-llm chaos docs lock clean

demo: .venv/.demo ; $(BIN)/roadworthy demo $(ARGS)
test: .venv/.dev ; .ci/test $(ARGS)
test-long: .venv/.dev ; .ci/test-long $(ARGS)
lint: .venv/.dev ; .ci/lint
bench: .venv/.dev ; $(BIN)/python benchmarks/run.py $(ARGS)
bench-llm: .venv/.dev ; $(BIN)/python benchmarks/llm_gateway.py $(ARGS)
demo-llm: .venv/.demo-llm ; $(BIN)/roadworthy demo chat $(ARGS)
chaos: .venv/.dev ; $(BIN)/python tests/faults/chaos.py $(ARGS)
docs: .venv/.dev ; $(BIN)/zensical build --strict
lock: ; .ci/lock
clean: ; rm -rf .venv build dist site .coverage* htmlcov

.venv/.%: requirements/%.txt pyproject.toml .ci/setup ; .ci/setup $* $(PYTHON)
