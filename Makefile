# Bulkhead. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 10m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: help build demo tour test check bench parity-pg fuzz postgresql

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## Build ./bulkhead
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o bulkhead ./cmd/bulkhead

demo: postgresql build ## Show what Bulkhead does, on a throw-away PostgreSQL
	./bulkhead demo $(DEMOFLAGS)

tour: postgresql build ## Walk the whole way on a throw-away PostgreSQL: audit, harden, proxy, verify, report, rollback
	./bulkhead demo --tour $(TOURFLAGS)

# The tests of proxy_test take longest and mostly wait: they begin first.
test: postgresql ## Run all tests, with the race detector
	@scripts/postgresql-get 18 || echo "tests run without PostgreSQL 18"
	$(GO) vet ./...
	@$(GO) test -race -timeout 18m ./proxy_test $$($(GO) list ./... | grep -v /proxy_test)

check: ## Format, vet, linters, then all tests
	@test -z "$$($(GO) tool -modfile=tools/go.mod gofumpt -l . | tee /dev/stderr)" || { echo "run gofumpt -w on these"; exit 1; }
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(MAKE) test

bench: postgresql build ## Measure beside direct PostgreSQL and PgBouncer; writes docs/benchmarks.md
	bench/run

parity-pg: postgresql ## Run PostgreSQL's and drivers' own suites direct and through the proxy
	@scripts/parity-pg $(SUITES)

fuzz: ## Run every fuzz target for FUZZTIME (10m) each
	@set -e; for file in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
		for target in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$file | sed 's/func //'); do \
			echo "== $$target ($$(dirname $$file))"; \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$(dirname $$file); \
		done; done

postgresql:
	@scripts/install-postgresql
