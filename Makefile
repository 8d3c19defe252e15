# The repository's chores. Each is one command that can be typed as well.
.PHONY: build demo test test-race lint bench test-clients fuzz layout clean

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

fuzz:
	tools/fuzz 30

clean:
	rm -rf bin
