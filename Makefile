# Gatehouse. `make run` shows it, `make test` proves it, `make help` lists the rest.

GO       ?= go
FUZZTIME ?= 20s
SOAK     ?= 30
BENCH    ?= .
# The last version that has a name, or else where the repository was forty changes ago.
OLD      ?= $(shell git describe --tags --abbrev=0 HEAD^ 2>/dev/null || git rev-parse HEAD~40)
# Gateways, sessions, and how often a provider is asked again: the rows of modules/decisions/0026.
SIM       = 2/10000000/1h 2/4000000/1h 10/4000000/1h 100/10000000/1h 100/1200000/1h 1000/10000000/1h 1000/150000/1h 100/10000000/0 100/6000000/0
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BUILD     = CGO_ENABLED=0 $(GO) build -trimpath

# Coraza must not write uploads to temporary files, which it otherwise does (and which a kill -9 would leave behind).
export GOFLAGS := $(shell $(GO) env GOFLAGS) -tags=no_fs_access
LDFLAGS   = -s -w -X gatehouse.internal/modules/internal/build.version=$(VERSION)
DIST      = linux/amd64 linux/arm64

.PHONY: help run build test race fuzz bench sim image upgrade siem lint vet rules golden e2e crs attack soak dist reproducible sbom clean FORCE
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: bin/gatehouse bin/demo-backend bin/demo ## the gateway in front of a demo application, on https://localhost:8443
	@exec bin/demo

build: bin/gatehouse ## bin/gatehouse, the one binary

# The go command knows best what is up to date.
bin/gatehouse: FORCE
	@echo "building $@ (the first time takes a minute or two)"
	@$(BUILD) -ldflags '$(LDFLAGS)' -o $@ ./cmd/gatehouse

bin/demo-backend: FORCE
	@$(BUILD) -o $@ ./testenv/backend

bin/demo: FORCE
	@$(BUILD) -o $@ ./testenv/demo

test: vet ## everything: formatting, vet, all tests with the race detector, all stories; installs what it needs
	@sh testenv/install.sh
	CGO_ENABLED=1 $(GO) test -race -timeout 45m ./...

race: ## the unit tests alone, with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v /testenv)

e2e: ## the stories alone, told at length, of a gateway with the race detector
	@sh testenv/install.sh
	GATEHOUSE_RACE=1 $(GO) test -count=1 -v -timeout 40m ./testenv/...

lint: vet ## gofmt, go vet and staticcheck
	$(GO) tool staticcheck -tags=no_fs_access ./...

vet: ## gofmt and go vet
	@bad=$$(gofmt -l $$($(GO) list -f '{{.Dir}}' ./...)); if [ -n "$$bad" ]; then echo "gofmt has something to say about:"; echo "$$bad"; exit 1; fi
	$(GO) vet ./...

fuzz: ## every fuzz test for FUZZTIME (20s)
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: ## every benchmark whose name matches BENCH, and tables of what the WAF's prover saves
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...
	$(GO) test -count=1 -timeout 30m -v -run '^Test(Ratios|ParsingAlone|HostileCost|ColdAutomata)$$' ./modules/waf -ratios

sim: ## a thousand gateways that share limits; ten million sessions simulated, two million held by a real server: fifteen minutes, 5 GB
	$(GO) test -count=1 -timeout 20m -v -run '^TestManyGateways$$' ./modules/ratelimit -nodes 1000
	$(GO) test -count=1 -timeout 20m -v -run '^TestScale$$' ./modules/stores/valkey -nodes 1000 -sessions 20000
	$(GO) test -count=1 -timeout 30m -v -run '^TestHeld$$' ./modules/stores/valkey -held 2000000
	for row in $(SIM); do IFS=/; set -- $$row; unset IFS; $(GO) run ./testenv/sim -nodes $$1 -sessions $$2 -renew $$3 || exit 1; done

upgrade: ## gateways of an earlier version (OLD, a revision), replaced by this one under load, and back: three minutes
	@test -n "$(OLD)" && git rev-parse -q --verify "$(OLD)^{commit}" >/dev/null || { echo "OLD=$(OLD) is no revision of this repository: name one, as in make upgrade OLD=HEAD~40" >&2; exit 1; }
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; old=$$(git describe --tags --always $(OLD)); echo "building $$old"; \
	mkdir "$$dir/src"; git archive $(OLD) | tar -xf - -C "$$dir/src"; \
	(cd "$$dir/src" && $(GO) build -buildvcs=false -ldflags "-X gatehouse.internal/modules/internal/build.version=$$old" -o "$$dir/gatehouse" ./cmd/gatehouse); \
	GATEHOUSE_OLD="$$dir/gatehouse" $(GO) test -count=1 -timeout 20m -v -run '^TestUpgrade$$' ./testenv

crs: ## CRS's own regression tests through the gateway; the last line counts
	@log=$$(mktemp); code=0; $(GO) test -count=1 -v -timeout 20m -run '^TestCRS$$' ./testenv >$$log 2>&1 || code=$$?; \
	sed -e 's/^ *crs_[a-z_]*\.go:[0-9]*: //' -e '/^\(===\|---\|ok\|PASS\|FAIL\|exit\)/d' $$log; rm -f $$log; exit $$code

attack: bin/gatehouse ## attack tools that others wrote against an application with holes, what bodies cost, and who is refused: ten minutes
	@sh testenv/attack/install.sh
	GATEHOUSE_ATTACK=1 GATEHOUSE_BIN=$(CURDIR)/bin/gatehouse $(GO) test -count=1 -v -timeout 60m -run '^Test(GoTestWAF|SQLMap|Wapiti|Hydra|FloodsBesideOrdinaryClients|SlowClients|SlowReaders|IdleConnections)$$' ./testenv
	GATEHOUSE_ATTACK=1 GATEHOUSE_BIN=$(CURDIR)/bin/gatehouse $(GO) test -run '^$$' -bench '^Benchmark(Bodies|RefusedConnections|OffenceToDrop)$$' -benchtime 1x -timeout 30m ./testenv

siem: ## log collectors that others wrote, of every protocol over HTTP: builds VictoriaLogs, two minutes
	GOFLAGS= CGO_ENABLED=0 GOBIN=$(CURDIR)/bin $(GO) install github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.2
	GATEHOUSE_VICTORIALOGS=$(CURDIR)/bin/victoria-logs $(GO) test -count=1 -timeout 20m -v -run '^TestVictoriaLogs$$' ./testenv

soak: ## a million mutated requests judged with and without the WAF's prover; the reload and crash stories for an hour
	$(GO) test -count=1 -timeout 4h -v -run '^TestProver' ./modules/waf -exchanges 500000 -seed 1
	$(GO) test -count=1 -timeout 4h -v -run '^TestProver' ./modules/waf -exchanges 500000 -seed 0
	$(GO) test -count=1 -timeout 4h -v ./modules/waf/prove -soak $(SOAK)
	@sh testenv/install.sh
	GATEHOUSE_SOAK=1 $(GO) test -count=1 -timeout 90m -v -run '^Test(ProverMemory|AlertClasses)$$' ./testenv
	$(GO) test -count=20 -v -timeout 90m -run 'Reload|Kill9' ./testenv

image: bin/gatehouse ## the story of the container image, with the static binary that it holds; as root
	GATEHOUSE_STATIC=$(CURDIR)/bin/gatehouse $(GO) test -count=1 -v -run '^TestImageRuns$$' ./testenv

rules: ## the WAF's rules and their tests
	$(GO) test -count=1 ./rules/... ./modules/waf/...

golden: ## rewrites the golden files of tests; look at the difference before you commit it
	@pkgs=$$(grep -rl --include='*_test.go' 'flag.Bool("update"' modules rules cmd 2>/dev/null | xargs -r -n1 dirname | sort -u | sed 's|^|./|'); \
	if [ -n "$$pkgs" ]; then $(GO) test $$pkgs -update; else echo "no test has golden files"; fi

dist: ## dist/: the binary for each system of DIST, with checksums
	@mkdir -p dist
	@set -e; for target in $(DIST); do \
		out=dist/gatehouse-$(VERSION)-$${target%/*}-$${target#*/}; echo "building $$out"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(BUILD) -ldflags '$(LDFLAGS)' -o $$out ./cmd/gatehouse; \
	done; cd dist && sha256sum gatehouse-$(VERSION)-* > SHA256SUMS

reproducible: ## builds the binary twice, in two directories and with nothing in common, and compares them: three minutes
	@set -e; dir=$$(mktemp -d); trap 'chmod -R u+w "$$dir"; rm -rf "$$dir"' EXIT; \
	for n in one another; do \
		mkdir -p "$$dir/$$n/src"; git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$$dir/$$n/src"; echo "building $$n"; \
		(cd "$$dir/$$n/src" && GOCACHE="$$dir/$$n/cache" $(BUILD) -buildvcs=false -ldflags '$(LDFLAGS)' -o "$$dir/$$n/gatehouse" ./cmd/gatehouse); \
	done; \
	sha256sum "$$dir/one/gatehouse" "$$dir/another/gatehouse" | sed "s|$$dir/||"; cmp "$$dir/one/gatehouse" "$$dir/another/gatehouse"

sbom: bin/gatehouse ## bin/gatehouse.cdx.json, the binary's bill of materials (CycloneDX)
	@bin/gatehouse sbom > bin/gatehouse.cdx.json && echo "made bin/gatehouse.cdx.json"

clean: ## removes what was built; .gatehouse, the demo's state, stays
	rm -rf bin dist
