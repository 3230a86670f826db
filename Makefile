# make run      builds bin/twofold and starts two data nodes and a witness on loopback
# make test     every check and test; as root it installs the Debian packages that it needs
# make matrix   every fault and every pair of faults; writes docs/failure-matrix.md
# make soak     random clients under faults for SOAK in all; a run that was stopped goes on where it was
# make sim      simulations of the cluster for SIM_FOR; a seed that fails is printed
# make bench    twofold and PEERS="name=host:port/export ..." side by side; writes docs/performance.md
# make bench-micro  Go benchmarks of the hot paths, with allocations
# make model    the larger searches of the argument for leases
# The other targets are parts of these, and make fuzz, which takes a minute for each fuzz target.

GO       ?= go
DEV_ARGS ?=
FUZZTIME ?= 1m
SIM_FOR  ?= 30m
SOAK     ?= 2h
# How many times make pauses measures each fault, and how long a paused leader stands still. For figures to publish: 50 and 30s.
TRIALS   ?= 5
HOLD     ?= 5s

# What make bench compares with, a JSON file that says what those are, and flags of benchlab. BENCHTIME is for each benchmark of make bench-micro.
PEERS      ?=
PEER_NOTES ?=
BENCH_ARGS ?=
BENCHTIME  ?= 1s

# Only the race detector needs cgo. All else is compiled with the flags of the shipped binary, so that a new machine compiles the
# libraries twice, not three times: once for it and its checks and tests, and once for the race detector.
export CGO_ENABLED := 0
export GOFLAGS     := $(filter-out -trimpath,$(GOFLAGS)) -trimpath

.PHONY: build faultlab run deps check test test-unit unit-replica unit-others model sim test-process test-conformance test-client test-faults matrix soak pauses \
	bench bench-micro knfsd figures fuzz fuzz-short clean

build:
	$(GO) build -o bin/twofold ./cmd/twofold

run: build
	bin/twofold dev $(DEV_ARGS)

deps:
	scripts/deps.sh

check:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt would change:" $$files; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet -tags process,figures ./...
	$(GO) tool staticcheck -tags process,figures ./...
	$(GO) test ./scripts/layers

# These take long with the race detector, and other tests have it look at the same code.
UNRACED := ^(TestCatchUp_BytesSent|TestSimulation_Finds|TestHung_Reads|TestRefetch_KilledAtEachStep|TestBilly_OverTheStore)$$
RACE    := CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 10m -skip '$(UNRACED)'

# The tests of one package take as long as those of all others, and mostly use one processor.
test-unit:
	CGO_ENABLED=1 $(GO) build -race ./...
	@$(MAKE) --no-print-directory -j2 -Oline unit-replica unit-others

unit-replica:
	$(RACE) ./replica

unit-others:
	$(RACE) -p 2 $$($(GO) list ./... | grep -v '/replica$$')
	$(GO) test -timeout 6m ./raftlog/model ./replica/state ./replica/catchup
	$(GO) test -timeout 6m -run '^TestLeaderDies' ./raftlog -deaths 200
	$(GO) test -timeout 6m -run '^TestSimulation|$(UNRACED)' ./replica -sim.matrix -sim.seeds 3000 -sim.for 90s

# The model's larger bounds: some minutes and gigabytes.
model:
	$(GO) test -v -count=1 -timeout 60m ./raftlog/model -wide

# Simulations of the whole cluster, for a time; a seed that fails is printed.
sim:
	$(GO) test -v -count=1 -timeout 0 -run '^TestSimulation' ./replica -sim.matrix -sim.for $(SIM_FOR) -sim.seeds 1000000000

# The tests of real processes need the binary as it is shipped, without the race detector.
# They mostly wait, so two halves run beside each other.
PROCESS := $(GO) test -tags process -count=1 -timeout 10m ./cmd/... -run
test-process: build
	@$(PROCESS) '^TestProcess_[A-F]' & first=$$!; $(PROCESS) '^TestProcess_[^A-F]'; second=$$?; wait $$first && exit $$second

faultlab: build
	$(GO) build -o bin/faultlab ./scripts/faultlab

# A fixed third of the failure matrix, and two minutes of random clients whose histories are checked.
test-faults: faultlab
	bin/faultlab matrix -third -out bin/faults/test-matrix
	bin/faultlab soak -for 2m -fresh -out bin/faults/test-soak

matrix: faultlab
	bin/faultlab matrix -document docs/failure-matrix.md

soak: faultlab
	bin/faultlab soak -for $(SOAK)

pauses: faultlab
	bin/faultlab pauses -trials $(TRIALS) -hold $(HOLD)

# Every server does the same work in turn; see docs/operations/bench.md.
bench: build
	$(GO) build -o bin/benchlab ./scripts/benchlab
	bin/benchlab -peers "$(PEERS)" -notes "$(PEER_NOTES)" -document docs/performance.md $(BENCH_ARGS)

# Decode, encode, dispatch, apply, reads from the state and its cache, batches, and the bench's own client.
bench-micro:
	$(GO) test -p 1 -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./nfs/rpc ./nfs ./nfs/nfs3 ./nfs/handle ./nfs/export ./nfs/client \
		./replica/command ./replica/duplicate ./replica/state ./replica

figures: pauses
	$(GO) test -tags process,figures -p 1 -run '^TestFigures' -count=1 -v ./replica/state ./replica/catchup ./cmd/twofold

# The same calls to the pair and to the Linux kernel's server in a guest.
test-conformance:
	scripts/conformance-test

# Records anew what the kernel's server answers; read the difference before it is committed.
knfsd:
	scripts/conformance-test record

test-client:
	scripts/client-test

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

fuzz-short:
	scripts/fuzz.sh 2s

# One after the other, the quick ones first: the machine has two processors, and the client test measures times.
test:
	scripts/run-steps.sh deps check test-unit fuzz-short test-process test-faults test-conformance test-client

clean:
	rm -rf bin
