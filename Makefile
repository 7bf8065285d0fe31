# Each target is one line of cargo or a script. `make` lists them.

# Failing recipes stop, in pipes too.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SCRIPTS := $(wildcard scripts/*.sh) .ci/run

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: tools ## Builds freshet, sends 69,659 real purchases through it, and checks what comes out to the cent
	@cargo run --locked --package freshet -- demo

.PHONY: build
build: tools ## Builds everything
	@cargo build --workspace --locked

.PHONY: test
test: tools servers ## Runs every test, against real servers; one crate: cargo test -p freshet-queue
	@cargo test --workspace --locked --no-fail-fast

.PHONY: soak
soak: tools servers ## Runs the tests that take too long for every change
	@cargo test --package freshet-access --locked -- --ignored
	@cargo test --package freshet --package freshet-table --test it --locked -- --ignored --skip spark::

.PHONY: test-spark
test-spark: tools ## Runs the tests in which Apache Spark reads and changes our tables; installs it the first time (500 MB)
	@scripts/install-servers.sh spark
	@cargo test --package freshet --package freshet-table --test it --locked -- --ignored spark::

FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: ## Fuzzes decoding and splitting for FUZZ_SECONDS each (60), where cargo-fuzz and a nightly compiler are installed
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then for target in json split xml; do cargo +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS) -max_len=20000; done; else echo "fuzz: needs cargo-fuzz and a nightly compiler (cargo install --locked cargo-fuzz; rustup toolchain install nightly)"; fi

ARCHITECTURE ?= x86_64

.PHONY: package
package: tools ## Builds the zip files for AWS Lambda into target/package/ (ARCHITECTURE=arm64 or x86_64)
	@scripts/package.sh $(ARCHITECTURE)

BENCH := cargo run --release --locked --package freshet-benches --bin

.PHONY: bench-decode
bench-decode: tools ## Measures decoding of JSON and XML beside arrow-json and quick-xml (QUICK=--quick for a tenth of it)
	@$(BENCH) decode -- $(QUICK)

.PHONY: bench-profile
bench-profile: tools ## Measures look-ups of profiles over HTTP beside PostgreSQL 15, where that is installed
	@$(BENCH) profile -- $(QUICK)

.PHONY: bench-upsert
bench-upsert: tools servers ## Measures upserts beside deltalake's MERGE; needs 20 GB of disk and an hour (QUICK="--quick SECTION")
	@$(BENCH) upsert -- $(QUICK)

.PHONY: bench-scan
bench-scan: tools servers ## Measures queries of a table with deletion vectors beside deltalake's provider and DuckDB
	@$(BENCH) scan -- $(QUICK)

.PHONY: lint
lint: tools ## Checks format, lints, licences, Terraform and scripts
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- --deny warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; else echo "lint: cargo-deny isn't installed, so licences and advisories weren't checked (cargo install --locked cargo-deny)"; fi
	@scripts/lint-terraform.sh
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "lint: shellcheck isn't installed, so scripts weren't checked"; fi

EMULATOR ?= localstack
COMPOSE = docker compose --file localstack/compose.yaml --profile $(EMULATOR)

.PHONY: localstack-up
localstack-up: ## Starts DynamoDB, S3 and Kafka in Docker (EMULATOR=localstack, which needs LOCALSTACK_AUTH_TOKEN, or ministack)
	@if [[ $(EMULATOR) == localstack && -z $${LOCALSTACK_AUTH_TOKEN:-} ]]; then echo "LocalStack asks for LOCALSTACK_AUTH_TOKEN; without one: make localstack-up EMULATOR=ministack" >&2; exit 1; fi
	@$(COMPOSE) up --detach --wait

.PHONY: localstack-down
localstack-down: ## Stops them, and removes what they kept
	@$(COMPOSE) down --volumes

.PHONY: fmt
fmt: ## Formats the code
	@cargo fmt --all
	@if command -v terraform >/dev/null; then terraform fmt -recursive infra/terraform; fi

.PHONY: servers
servers: ## Installs what the tests run besides freshet (Kafka, SeaweedFS, MiniStack), once, into .servers/
	@scripts/install-servers.sh

.PHONY: clean-servers
clean-servers: ## Removes what `make servers` installed
	@rm -rf "$${FRESHET_SERVERS:-.servers}"

.PHONY: tools
tools:
	@scripts/check-tools.sh
