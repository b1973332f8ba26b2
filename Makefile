# Versions of the tools, pinned here and nowhere else. `go run` builds them into the Go cache.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

MODULES   := . $(shell sed -n 's|^\t\./|./|p' go.work)
PATTERNS  := $(MODULES:%=%/...)
PLATFORMS := $(foreach os,linux darwin freebsd windows,$(os)/amd64 $(os)/arm64)

# -count=1: tests of real processes, and of the tree itself, have inputs that the test cache does not see.
# The race detector needs a C compiler; where there is none, the tests run without it.
RACE     := $(if $(shell command -v $(shell go env CC)),-race)
# Much of the time is waiting for real processes; more at a time would make them wait for each other. `make lint` vets.
GOTEST   := go test $(RACE) -count=1 -vet=off -p 2 -parallel 3 -timeout $(or $(TIMEOUT),15m)
FUZZTIME ?= 30s
SOAK     ?= 10m
SEED     := $(or $(SEED),$(shell date +%s))

# A package of the tree as it stands: newer by its day than any before it, older than any release.
DEB_VERSION ?= 0~git$(shell TZ=UTC git log -1 --format=%cd.%h --date=format-local:%Y%m%d%H%M%S)
DEB_ARCH    ?= $(shell dpkg --print-architecture)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint tidy format vet cross golangci fuzz soak bench scale cover deb

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## see a service replaced under load
	cd host && go run ./cmd/handover demo

test: ## all tests that need Go, git and make (HANDOVER_COUNT=full: ten times the repetitions)
	@go test $(RACE) -run '^$$' work >/dev/null # builds with every core
	$(GOTEST) work

test-all: ## the tests that `test` leaves out: as root, with Debian's packages
	$(GOTEST) -parallel 2 -tags debian ./test/debian/systemd ./test/debian/... # whole machines boot side by side; they take longest

lint: tidy format vet cross golangci ## every check that runs nothing

tidy:
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy -diff) || exit; done

format:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt these: $$files" >&2; exit 1; }

vet:
	go vet -tags debian work

cross: # other operating systems see the library; this one sees everything
	@for p in $(PLATFORMS); do \
		echo "build and vet for $$p"; \
		export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; \
		go build ./... && go vet ./... || exit; \
	done

golangci:
	go run $(GOLANGCI_LINT) run $(PATTERNS)

fuzz: ## each fuzz target for FUZZTIME
	@grep -Ero --include='*_test.go' '^func Fuzz\w+' . | while IFS=: read -r file func; do \
		go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" || exit; \
	done

soak: ## every fault at random for SOAK, from SEED; each run is recorded in docs/results/soak.md
	@mkdir -p docs/results bin; rm -f bin/soak.txt
	HANDOVER_SOAK_TIME=$(SOAK) HANDOVER_SEED=$(SEED) HANDOVER_SOAK_SUMMARY=$(CURDIR)/bin/soak.txt \
		go test -race -count=1 -timeout 0 -v -run Soak ./test/faults && result=passed || result=failed; \
	echo "- $$(date -u +%F) commit $$(git describe --always --dirty) seed $(SEED) for $(SOAK): $$result; $$(cat bin/soak.txt)" >> docs/results/soak.md; \
	test $$result = passed

bench: ## side by side with other libraries and proxies, into docs/results/bench.md; about 20 minutes, on an idle machine
	cd bench && go run . -out ../docs/results/bench.md

scale: ## what handovers cost as a service grows; plots go to docs/results
	cd bench && go run ./scale -out ../docs/results

cover: ## coverage of the library by the tests of all modules
	@mkdir -p bin
	go test -count=1 -timeout 10m -coverpkg ./... -coverprofile bin/coverage.out work
	go tool cover -func bin/coverage.out | tail -1

deb: ## a Debian package, into bin; needs dpkg
	@mkdir -p bin/$(DEB_ARCH)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(DEB_ARCH:armhf=arm) go build -trimpath -ldflags='-s -w' -o bin/$(DEB_ARCH)/handover ./host/cmd/handover
	deploy/debian/build $(DEB_VERSION) $(DEB_ARCH) bin/$(DEB_ARCH)/handover bin
