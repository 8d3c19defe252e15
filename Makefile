# The repository's chores. Each is one command that can be typed as well.
.PHONY: build demo test test-race lint bench test-clients guards chaos load soak fuzz layout clean

# The packages whose concurrency matters most; .ci/run races them too.
CORE = ./internal/... ./discord/... ./cache/... ./fsm/... ./transport/... ./membership/... ./consensus/... ./shard/... ./proxy/...

build:
	go build -o bin/ ./cmd/...

demo: build
	bin/botnode demo

test:
	go test -timeout 14m ./...

test-race:
	tools/race $(CORE)

lint:
	tools/lint

layout:
	go test ./internal/layout

bench:
	go run ./test/bench

# Real foreign clients against the simulator and a cluster's proxy; Node.js and
# Python with discord.py are used where they are. `test/clients/run -v -full` is the long form.
test-clients:
	tools/clients

# Each guard of the table in test/guards is taken out of the code: its test must fail
# (docs/reliability.md). `go test ./test/guards -run TestGuards/fencing -v` runs one area.
guards:
	go test ./test/guards -run TestGuards -v -timeout 60m

# Faults by seed on real processes for 20 minutes (docs/reliability.md); a short form
# is in `make test`. Namespaces, for faults of the network, need root.
chaos:
	go test ./test/chaos -run TestChaos -v -timeout 60m -chaos.time 20m -chaos.seeds 10

# 5,000 messages a second for ten minutes, and a kill every ten seconds.
load:
	go test ./test/chaos -run TestLoad -v -timeout 60m -chaos.load 10m

# An hour of faults that end no process, which must not use more and more.
soak:
	go test ./test/chaos -run TestSoak -v -timeout 90m -chaos.soak 1h

fuzz:
	tools/fuzz 30

clean:
	rm -rf bin
