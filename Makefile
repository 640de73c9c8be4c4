# Souk's everyday commands. `make` alone lists them.

CARGO ?= cargo
# How many tests run at once; empty for one per core.
TEST_THREADS ?=

.DEFAULT_GOAL := help
.PHONY: help run test backends distributed check demo fmt docs

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build Souk, start it with products and accounts to try, keep serving
	$(CARGO) run -p souk --no-default-features -- up --seed

test: ## run all tests, on real engines too (see backends); TEST_THREADS=8 sets how many at once
	CARGO="$(CARGO)" scripts/backends run -- scripts/test $(TEST_THREADS)

backends: ## bring up PostgreSQL, MongoDB, Redis and RabbitMQ, print their addresses, end them with Ctrl-C
	scripts/backends up

distributed: ## build and start the six services as processes of their own on those engines, with products and accounts to try
	$(CARGO) build --workspace --bins
	scripts/backends run --services -- $${CARGO_TARGET_DIR:-target}/debug/souk up --distributed --seed

check: ## formatting, lints, layers, alert rules and dashboards; nothing is run
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets --no-default-features -- -D warnings
	scripts/check-layers
	scripts/check-deploy

demo: ## a customer's whole journey, every answer checked, on the Souk that runs or on one of its own
	$(CARGO) run -p souk --no-default-features -- demo

fmt: ## format the code
	$(CARGO) fmt --all

docs: ## build the documentation of all crates (target/doc)
	$(CARGO) doc --workspace --no-deps
