# `make` alone lists the targets. Each is a line or two of go; what needs more is a program, not shell.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

LINTER := bin/tools/golangci-lint
RACE := ./kernel/... ./edge/...
PLATFORMS := linux/amd64 linux/arm64 darwin/arm64
SDK_FILES = $(shell find sdk/ts codec/testdata kernel/record/testdata kernel/identity/testdata docs/openapi.json docs/kinds.json -type f \
	-not -path '*/node_modules/*' -not -path '*/build/*' -not -path '*/dist/*' 2>/dev/null)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help build demo demo-stop sdk sdk-e2e sdk-browser test mutations sim bench lint fmt generate release check deps clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

build: ## the programs, into bin/
	go build -trimpath -o bin/ ./cmd/...

demo: build ## three nodes found a co-op and transfer hours; CI=1 exits when all steps hold
	go run ./examples/demo $(if $(CI),-ci)

demo-stop: ## end what `make demo` left running
	go run ./examples/demo -stop

deps: ## check for, and as root install, what the tests need beyond Go
	scripts/deps.sh

sdk: sdk/ts/build/tested ## the TypeScript client: install, build, test; nothing when nothing changed

sdk/ts/build/tested: $(SDK_FILES) | sdk/ts/node_modules/.package-lock.json
	cd sdk/ts && npm run --silent build && npm run --silent test
	@touch $@

sdk/ts/node_modules/.package-lock.json: sdk/ts/package-lock.json
	cd sdk/ts && npm ci --silent --ignore-scripts
	@touch $@

examples/%/node_modules/.package-lock.json: examples/%/package-lock.json
	cd $(patsubst %/node_modules/.package-lock.json,%,$@) && npm ci --silent --ignore-scripts
	@touch $@

sdk-e2e: build sdk examples/quickstart/node_modules/.package-lock.json examples/bot/node_modules/.package-lock.json ## the TypeScript client, and the examples that use it, against a node of this tree
	cd sdk/ts && ICN_E2E_BIN=../../bin npm run --silent e2e

sdk-browser: build sdk ## the TypeScript client, and a node's page of documentation, in Chromium
	cd sdk/ts && ICN_E2E_BIN=../../bin npm run --silent browser

test: deps sdk-e2e sdk-browser ## all tests
	go vet ./...
	go vet -C bench ./...
	go test -count=1 .
	go test ./...
	go test -race -short $(RACE)

mutations: ## take each protection of testdata/mutations.txt away and want its test to fail; ONLY=R4 for one row
	go run scripts/mutate.go $(if $(ONLY),-only $(ONLY))

sim: ## whole co-ops under faults and lies; SEED= first seed, SEEDS= how many, STEPS= of each
	go run ./sim/run -seed $(or $(SEED),1) -seeds $(or $(SEEDS),100) -steps $(or $(STEPS),200) -keep sim/testdata/seeds

bench: ## the benchmarks, beside their peers; ONLY=ingest-64 for one
	cd bench && go run . $(if $(ONLY),-only $(ONLY))

# The linter is built once, from the versions in tools/go.sum.
$(LINTER): tools/go.mod tools/go.sum
	@go build -C tools -o ../bin/tools/ tool || { \
		echo "make: golangci-lint could not be built: its sources come through the Go module proxy once (see go env GOPROXY)." >&2; \
		echo "make: without it, 'go vet ./... && gofmt -l .' finds the coarsest mistakes." >&2; exit 1; }
	@touch $@

lint: $(LINTER) ## static checks and format
	$(LINTER) run ./...
	cd bench && ../$(LINTER) run --config ../.golangci.yml ./...
	scripts/lint-openapi.sh

fmt: $(LINTER) ## repair the format
	$(LINTER) fmt ./...

generate: ## run the generators; their output is committed
	go generate ./...
	cd sdk/ts && npm run --silent generate

release: ## one archive per platform and their checksums, into dist/
	rm -rf dist && mkdir -p dist
	for p in $(PLATFORMS); do \
		name=icn-$(VERSION)-$${p%/*}-$${p#*/}; mkdir dist/$$name; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} go build -trimpath -ldflags='-s -w' -o dist/$$name/ ./cmd/...; \
		cp README.md LICENSE LICENSE-APACHE LICENSE-MIT CHANGELOG.md dist/$$name/; \
		tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(git log -1 --format=%ct) -czf dist/$$name.tar.gz $$name; \
		rm -r dist/$$name; \
	done
	cd dist && sha256sum *.tar.gz > SHA256SUMS

check: lint test ## what has to pass before a change is merged

clean: ## remove what was built
	rm -rf bin dist sdk/ts/build sdk/ts/dist
