//go:build unix

package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/disklab"
	"github.com/botnode/botnode/internal/netlab"
	"github.com/botnode/botnode/internal/testproc"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "the one seed to run; 0 is as many as -chaos.seeds says, from -chaos.first on")
	firstFlag  = flag.Uint64("chaos.first", 1, "the first of the seeds")
	seedsFlag  = flag.Int("chaos.seeds", 1, "how many seeds share the time")
	timeFlag   = flag.Duration("chaos.time", 0, "how long faults happen in all (0: a short run)")
	soakFlag   = flag.Duration("chaos.soak", 0, "how long TestSoak runs (0: not)")
	loadFlag   = flag.Duration("chaos.load", 0, "how long TestLoad runs (0: a short run)")
	floodFlag  = flag.Int("chaos.flood", 0, "messages a second of TestLoad's flood (0: 5,000, and 500 of a short run)")
	nodesFlag  = flag.Int("chaos.nodes", 0, "3 or 5 nodes; 0 is 3, and 5 for every fourth seed of a long run")
	rateFlag   = flag.Int("chaos.rate", 60, "messages a second")
	kindsFlag  = flag.String("chaos.kinds", "", "beginnings of the names of the kinds of fault that are wanted, as in kill,net-slow")
	netFlag    = flag.String("chaos.net", "auto", "lab: nodes in namespaces, with a network that breaks; loopback: without; auto: lab where it can be had")
	diskFlag   = flag.String("chaos.disks", "auto", "lab: each node has a disk that fails; none: the machine's; auto: the lab's where it can be had, and in long runs")
	listFlag   = flag.Bool("chaos.list", false, "print the schedules and run nothing")
	logsFlag   = flag.String("chaos.logs", "", "folder for the logs of runs that fail (default: one in the system's temporary folder)")
	overFlag   = flag.Int("chaos.overlap", 4, "how many of ten faults begin while another lasts; with 0 silences are those of one fault")
	keepFlag   = flag.Bool("chaos.keep", false, "keep the logs of runs that don't fail, too")
	shortTime  = 12 * time.Second
	shortKinds = "kill,stop,net,rest,dc-c,dc-r"
)

// bins is where the bot is built.
var bins string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testproc.Main(m, "botnode-chaos", func(dir string) { bins = dir }))
}

// network reports whether nodes are to be on a network that breaks.
func network(t *testing.T) bool {
	t.Helper()
	if *netFlag == "loopback" {
		return false
	}
	lab, err := netlab.New(1, 1)
	if err == nil {
		lab.Close()
		return true
	}
	if !errors.Is(err, netlab.ErrUnavailable) || *netFlag == "lab" {
		t.Fatal(err)
	}
	t.Logf("nodes are on loopback, no fault of the network happens: %v", err)
	return false
}

// disks reports whether each node is to have a disk that fails.
func disks(t *testing.T, wanted bool) bool {
	t.Helper()
	if *diskFlag == "none" || *diskFlag == "auto" && !wanted {
		return false
	}
	d, err := disklab.New(filepath.Join(t.TempDir(), "disk"), 0)
	if err == nil {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if !errors.Is(err, disklab.ErrUnavailable) || *diskFlag == "lab" {
		t.Fatal(err)
	}
	t.Logf("nodes are on the machine's disk, which doesn't fail: %v", err)
	return false
}

func testOptions(t *testing.T, seed uint64, length time.Duration) options {
	t.Helper()
	o := options{
		seed: seed, length: length, nodes: *nodesFlag, shards: 3, rate: *rateFlag, kinds: *kindsFlag,
		network: network(t), disks: disks(t, *timeFlag > 0), bin: filepath.Join(bins, "tallybot"), logf: t.Logf, dir: *logsFlag,
	}
	if o.dir == "" {
		o.dir = os.TempDir()
	}
	if o.nodes == 0 {
		o.nodes = 3
		if *timeFlag > 0 && seed%4 == 0 {
			o.nodes = 5
		}
	}
	return o
}

func buildBot(t *testing.T) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := testproc.Build(ctx, root, "./test/integration/tallybot", bins); err != nil {
		t.Fatal(err)
	}
}

// try does one run of a schedule.
func try(t *testing.T, o options, faults []fault) *result {
	t.Helper()
	r, err := begin(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return judged(t, r, func() { r.execute(t.Context(), faults) })
}

// judged does a run, ends it, and fails the test for each violation.
func judged(t *testing.T, r *run, do func()) *result {
	t.Helper()
	o := r.o
	do()
	r.close() // before its folder goes
	t.Logf("FIGURE %s", &r.result)
	if n := len(r.result.violations); n > 0 {
		t.Errorf("seed %d: %d violations; again: %s; logs in %s", o.seed, n, again(t, o), r.dir)
		_ = os.WriteFile(filepath.Join(r.dir, "violations"), []byte(strings.Join(r.result.violations, "\n")), 0o600)
		return &r.result
	}
	if *keepFlag {
		t.Logf("logs in %s", r.dir)
	} else {
		_ = os.RemoveAll(r.dir)
	}
	return &r.result
}

// again is the command that does a run once more.
func again(t *testing.T, o options) string {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	length := map[string]string{"TestSoak": "chaos.soak", "TestLoad": "chaos.load"}[name]
	if length == "" {
		length = "chaos.time"
	}
	return fmt.Sprintf("go test ./test/chaos -run '%s' -seed %d -%s %v -chaos.nodes %d -chaos.rate %d -chaos.flood %d -chaos.kinds '%s' -chaos.overlap %d",
		name, o.seed, length, o.length, o.nodes, o.rate, o.flood, o.kinds, *overFlag)
}

// TestChaos runs the seeds that are asked for.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real processes are left to the long form, which .ci/run takes")
	}
	seeds, length := []uint64{}, shortTime
	for i := range *seedsFlag {
		seeds = append(seeds, *firstFlag+uint64(i))
	}
	if *timeFlag > 0 {
		length = *timeFlag / time.Duration(len(seeds))
	}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	if *timeFlag > 0 && *seedFlag != 0 {
		length = *timeFlag
	}
	buildBot(t)
	var all []*result
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			o := testOptions(t, seed, length)
			if *timeFlag == 0 && o.kinds == "" {
				o.kinds = shortKinds
			}
			kinds := chosen(o)
			if len(kinds) == 0 {
				t.Fatalf("no kind of fault begins with one of %q here", o.kinds)
			}
			faults := plan(seed, length, kinds, *overFlag)
			if !listed(t, faults) {
				all = append(all, try(t, o, faults))
			}
		})
	}
	if len(all) > 0 {
		total(t, all)
	}
}

// listed prints a schedule if that is all that is wanted.
func listed(t *testing.T, faults []fault) bool {
	t.Helper()
	if *listFlag {
		for _, f := range faults {
			t.Log(f)
		}
	}
	return *listFlag
}

// TestDisks has disks fail in every way there is, for a short time.
func TestDisks(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real processes are left to the long form, which .ci/run takes")
	}
	o := testOptions(t, max(*seedFlag, 1), 16*time.Second)
	if o.disks = disks(t, true); !o.disks {
		t.Skip("a disk that fails needs Linux, root, loop devices and mkfs.ext4")
	}
	buildBot(t)
	o.network = false
	var faults []fault
	for i, name := range []string{"disk-error", "disk-hang", "disk-power", "disk-full"} {
		at := calm + time.Duration(i)*o.length/4
		faults = append(faults, fault{n: i + 1, kind: kindOf(name), at: at, length: []time.Duration{second / 2, 2 * second, second / 2, 2 * second}[i], seed: o.seed + uint64(i)})
	}
	try(t, o, faults)
}

// total prints the figures of all runs.
func total(t *testing.T, all []*result) {
	t.Helper()
	sum := result{faults: map[string]int{}, silences: map[string][]time.Duration{}}
	for _, res := range all {
		sum.length += res.length
		for g, n := range res.faults {
			sum.faults[g] += n
		}
		for k, d := range res.silences {
			sum.silences[k] = append(sum.silences[k], d...)
		}
		for _, x := range []struct{ to, from *int }{
			{&sum.skipped, &res.skipped}, {&sum.messages, &res.messages}, {&sum.withheld, &res.withheld}, {&sum.hidden, &res.hidden},
			{&sum.blamed, &res.blamed}, {&sum.identifies, &res.identifies}, {&sum.resumes, &res.resumes}, {&sum.digests, &res.digests},
			{&sum.compared, &res.compared}, {&sum.epochs, &res.epochs}, {&sum.ops, &res.ops}, {&sum.unknown, &res.unknown}, {&sum.packets, &res.packets},
		} {
			*x.to += *x.from
		}
		sum.heal, sum.stall = max(sum.heal, res.heal), max(sum.stall, res.stall)
		sum.violations = append(sum.violations, res.violations...)
	}
	t.Logf("TOTAL of %d runs: %s", len(all), &sum)
	for _, k := range kinds {
		if d := slices.Sorted(slices.Values(sum.silences[k.name])); len(d) > 0 {
			ms := func(i int) int64 { return d[i].Milliseconds() }
			t.Logf("SILENCE %-15s %3d times: p50 %d ms, p99 %d ms, max %d ms", k.name, len(d), ms(len(d)/2), ms(len(d)*99/100), ms(len(d)-1))
		}
	}
}

// TestSoak runs one seed for long, with all that ends no process, and asserts that
// what the processes use doesn't grow.
func TestSoak(t *testing.T) {
	if *soakFlag == 0 {
		t.Skip("an hour of faults: -chaos.soak says how long, as in make soak")
	}
	buildBot(t)
	o := testOptions(t, max(*seedFlag, 1), *soakFlag)
	o.soak = true
	if o.kinds == "" {
		o.kinds = "stop,dc,rest,net"
	}
	if faults := plan(o.seed, o.length, chosen(o), *overFlag); !listed(t, faults) {
		try(t, o, faults)
	}
}

// TestLoad has thousands of messages a second counted while a node is killed every
// ten seconds, in turn the leader, an owner and a follower.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: real processes are left to the long form, which .ci/run takes")
	}
	buildBot(t)
	length, every, rate := 9*time.Second, 3*time.Second, 500
	if *loadFlag > 0 {
		length, every, rate = *loadFlag, 10*time.Second, 5000
	}
	o := testOptions(t, max(*seedFlag, 1), length)
	o.flood, o.network = rate, false
	if *floodFlag > 0 {
		o.flood = *floodFlag
	}
	total(t, []*result{try(t, o, killEvery(o.seed, every, length))})
}
