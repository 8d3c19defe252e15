// Command bench measures botnode and prints a table. It needs nothing but the
// checkout: it builds the binary, runs three real nodes on loopback against the
// simulator, and measures the state machine alone for what needs no cluster.
// Other libraries are measured beside it where Node.js is (foreign).
//
// A bot of its own (test/bench/bot) shows what handlers and their store cost.
//
//	go run ./test/bench [-only cluster,foreign,pings,idle,handlers,kv,memory,cache,snapshot,proxy] [-events 400000]
//
// Figures of a shared machine are noisy: compare ratios, and quote medians of
// several runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"text/tabwriter"
)

// row is one line of the result.
type row struct{ what, figure, target string }

// table collects rows and prints them at the end.
type table struct{ rows []row }

func (t *table) add(what, target, format string, args ...any) {
	r := row{what: what, figure: fmt.Sprintf(format, args...), target: target}
	t.rows = append(t.rows, r)
	fmt.Fprintf(os.Stderr, "  %s: %s\n", r.what, r.figure)
}

func (t *table) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "measured\tfigure\ttarget")
	for _, r := range t.rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", r.what, r.figure, r.target)
	}
	_ = w.Flush()
}

func main() { os.Exit(run()) }

func run() int {
	only := flag.String("only", "cluster,foreign,pings,idle,handlers,kv,memory,cache,snapshot,proxy", "what to measure")
	events := flag.Int("events", 400_000, "events of the throughput run")
	members := flag.Int("members", 1_000_000, "cached members of the memory, snapshot and cache runs")
	bin := flag.String("bin", "", "a botnode binary to measure instead of building one")
	builtin := flag.String("builtin", "", "measure the throughput of this built-in bot only: none or ping")
	flag.BoolVar(&clusterTLS, "tls", false, "have the nodes of the cluster runs speak TLS to each other")
	beside := flag.String("beside", "", "another REST proxy to measure beside the node's: a program that reads BIND_IP, PORT and TARGET from its environment")
	flag.Parse() //nolint:revive // run is main, but for the exit code
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	fmt.Fprintf(os.Stderr, "%s, %d CPUs, %s\n", runtime.Version(), runtime.NumCPU(), runtime.GOARCH)
	t := &table{}
	steps := []struct {
		name string
		run  func(context.Context, *table) error
	}{
		{"cluster", func(ctx context.Context, t *table) error { return throughput(ctx, t, *bin, *builtin, *events) }},
		{"foreign", func(ctx context.Context, t *table) error { return foreign(ctx, t, *events) }},
		{"pings", func(ctx context.Context, t *table) error { return pings(ctx, t, *bin) }},
		{"idle", func(ctx context.Context, t *table) error { return idle(ctx, t, *bin) }},
		{"handlers", func(ctx context.Context, t *table) error { return handlers(ctx, t, *events/4) }},
		{"kv", func(ctx context.Context, t *table) error { return kv(ctx, t, *events/4) }},
		{"memory", func(ctx context.Context, t *table) error { return memory(ctx, t, *bin, *members) }},
		{"cache", func(_ context.Context, t *table) error { return caches(t, *members) }},
		{"snapshot", func(_ context.Context, t *table) error { return snapshots(t, *members) }},
		{"proxy", func(ctx context.Context, t *table) error { return proxyREST(ctx, t, *bin, *beside) }},
	}
	code := 0
	for _, s := range steps {
		if !strings.Contains(","+*only+",", ","+s.name+",") {
			continue
		}
		fmt.Fprintln(os.Stderr, s.name)
		if err := s.run(ctx, t); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", s.name, err)
			code = 1
		}
	}
	t.print()
	return code
}
