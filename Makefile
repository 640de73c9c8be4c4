# Souk's everyday commands. `make` alone lists them.

CARGO ?= cargo
# How many tests run at once; empty for one per core.
TEST_THREADS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check demo fmt docs

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build Souk, start it with products and accounts to try, keep serving
	$(CARGO) run -p souk --no-default-features -- up --seed

test: ## run all tests; TEST_THREADS=8 sets how many at once
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace $(if $(TEST_THREADS),--test-threads $(TEST_THREADS)); \
	else \
		set -x; $(CARGO) test --workspace $(if $(TEST_THREADS),-- --test-threads $(TEST_THREADS)); \
	fi

check: ## formatting, lints, layers; nothing is run
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	scripts/check-layers

demo: ## a customer's whole journey, every answer checked, on the Souk that runs or on one of its own
	$(CARGO) run -p souk --no-default-features -- demo

fmt: ## format the code
	$(CARGO) fmt --all

docs: ## build the documentation of all crates (target/doc)
	$(CARGO) doc --workspace --no-deps
