//go:build unix

package integration

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/internal/testproc"
)

// walk runs the commands of docs/multi-node.md. They are run as they are
// printed, but that a node's window is a process of the test, and that the
// page's addresses and the program's place are others.
type walk struct {
	*cluster
	beside *cluster // the page's second cluster
	dir    string
	addrs  map[string]string // of the page, and what they are here
	said   string            // what the last section has printed
}

// part is a section of the page: its commands and its Go program, if it has one.
type part struct {
	title    string
	commands []string
	program  string
}

// parts reads the page: commands are the lines that are indented by four.
func parts(t *testing.T, path string) (all []part) {
	t.Helper()
	doc, err := os.ReadFile(path)
	must(t, err)
	for _, section := range strings.Split(string(doc), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		p := part{title: title}
		if before, rest, ok := strings.Cut(body, "```go\n"); ok {
			program, after, closed := strings.Cut(rest, "```\n")
			if !closed {
				t.Fatalf("%s: a program without an end", title)
			}
			p.program, body = program, before+after
		}
		for line := range strings.Lines(body) {
			if command, ok := strings.CutPrefix(line, "    "); ok {
				p.commands = append(p.commands, strings.TrimSpace(command))
			}
		}
		all = append(all, p)
	}
	return all
}

var (
	pageAddr = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	startsID = regexp.MustCompile(`^\./mybot start --id (\S+) --data-dir (\S+) --cluster-addr (\S+) --http-addr (\S+)`)
)

// here replaces the addresses of the page.
func (w *walk) here(command string) string {
	return pageAddr.ReplaceAllStringFunc(command, func(addr string) string {
		if w.addrs[addr] == "" {
			free, err := programs.ports.Addr()
			must(w.t, err)
			w.addrs[addr] = free
		}
		return w.addrs[addr]
	})
}

// run runs a section's commands, one after the other.
func (w *walk) run(p part) {
	w.t.Helper()
	if p.program != "" {
		must(w.t, os.WriteFile(filepath.Join(w.dir, "mybot.go"), []byte(p.program), 0o600))
	}
	w.said = ""
	for _, command := range p.commands {
		printed := command
		command = w.here(command)
		if m := startsID.FindStringSubmatch(command); m != nil {
			w.window(command, m)
			continue
		}
		dir := w.dir
		if strings.HasPrefix(command, "go build ") { // where the module is
			dir = filepath.Join("..", "..")
			command = strings.ReplaceAll(command, "mybot", filepath.Join(w.dir, "mybot"))
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
		sh := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", command)
		sh.Dir, sh.Env = dir, append(os.Environ(), w.env()...)
		out, err := sh.CombinedOutput()
		cancel()
		if err != nil {
			w.t.Fatalf("## %s\n%s: %v\n%s", p.title, printed, err, out)
		}
		w.said += string(out)
	}
}

// env is what the page has its reader set, and the node that is spoken to where
// a command doesn't say.
func (w *walk) env() []string {
	return []string{
		"BOTNODE_TOKEN=" + w.token, "BOTNODE_DISCORD_API=" + w.sim.APIURL(),
		"BOTNODE_HTTP=" + w.here("http://127.0.0.1:7201"),
	}
}

// window starts a node by its command line: the shell becomes the node.
func (w *walk) window(command string, m []string) {
	w.t.Helper()
	c := w.cluster
	if m[1] == "anna" {
		c = w.beside
	}
	n := &member{id: m[1], dir: filepath.Join(w.dir, m[2]), log: filepath.Join(w.dir, m[1]+".log"), cluster: m[3], http: m[4]}
	proc, err := testproc.Start(testproc.Options{
		Path: "/bin/sh", Args: []string{"-c", "exec " + command}, Env: w.env(), Dir: w.dir, Log: n.log,
	})
	must(w.t, err)
	n.proc, c.nodes[n.id] = proc, n
	c.WaitServing(n.id)
}

// told waits until the notes of the page's program say why each shard is where
// it is.
func (w *walk) told(want string) {
	w.t.Helper()
	w.poll("the notes say "+want, 10*time.Second, func() error {
		notes := w.OK(w.alive()[0], "kv", "list", "--prefix", "starts/")
		return yes(strings.Count(notes, want) == 2, "%s", notes)
	})
}

// counted asserts that metrics and logs of the nodes tell how joe's two shards
// came to them.
func (w *walk) counted(why string) {
	w.t.Helper()
	metrics, logs := 0, 0
	series := regexp.MustCompile(`(?m)^botnode_takeover_seconds_count\{.*why="` + why + `".*\} (\d+)$`)
	line := regexp.MustCompile(`"shard is live".*"why":"` + why + `","from":"joe#\d+","gap":`)
	for _, id := range w.alive() {
		for _, m := range series.FindAllStringSubmatch(w.metrics(id), -1) {
			n, err := strconv.Atoi(m[1])
			must(w.t, err)
			metrics += n
		}
		logs += len(line.FindAllString(w.nodes[id].proc.Log(), -1))
	}
	if metrics != 2 || logs != 2 {
		w.t.Errorf("%s: %d in the metrics and %d in the logs, want 2", why, metrics, logs)
	}
}

// metrics is what a node's /metrics says.
func (w *walk) metrics(id string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.nodes[id].http+"/metrics", nil)
	must(w.t, err)
	res, err := w.http.Do(req)
	must(w.t, err)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	must(w.t, err)
	return string(b)
}

// has asserts that the section has printed something.
func (w *walk) has(pattern string, want bool) {
	w.t.Helper()
	if regexp.MustCompile(pattern).MatchString(w.said) != want {
		w.t.Errorf("that %q is printed should be %v:\n%s", pattern, want, w.said)
	}
}

// ended asserts that a node has ended by itself, in order.
func (w *walk) ended(c *cluster, id string) {
	w.t.Helper()
	if code := c.WaitExit(id, 20*time.Second); code != 0 {
		w.t.Errorf("%s: exit code %d", id, code)
	}
}

// onJoe waits until joe has the whole bot.
func (w *walk) onJoe() {
	w.t.Helper()
	w.WaitPlaced(map[string]int{"joe": 2})
}

// settled waits until no event is left for a handler, and asserts that nothing
// was given up. The shard that came back has a gap on record: what anna handled,
// this cluster has not seen.
func (w *walk) settled() {
	w.t.Helper()
	w.poll("the journal empties", 15*time.Second, func() error {
		b := w.status().Bots[0]
		if b.DeadLetters > 0 || b.Gaps != 1 {
			w.t.Fatalf("%d dead letters, %d gaps, want 0 and 1", b.DeadLetters, b.Gaps)
		}
		return yes(b.Unacked == 0, "%d entries left", b.Unacked)
	})
}

// judges say, for each section of the page, whether what it tells is so.
func (w *walk) judges() map[string]func() {
	return map[string]func(){
		"A bot that says why it runs here": func() {},
		"Start joe, robert and mike": func() {
			w.waitsFor("joe", "mike")
			if s := w.brief(); s.Identifies > 0 {
				w.t.Errorf("%d IDENTIFYs before all nodes are there", s.Identifies)
			}
		},
		"Mike completes it": func() {
			w.onJoe()
			w.told(`normal from ""`)
		},
		"Joe dies": func() {
			w.WaitExit("joe", 5*time.Second)
			w.WaitServed()
			w.cameBy("failover", "joe")
			w.told(`failover from "joe"`)
		},
		"Who is told, and how": func() {
			w.has(`failover from "joe"`, true)
			w.has(`takeover +failover from joe, \d+ ms`, true)
			w.counted("failover")
		},
		"Joe comes back": func() {
			w.onJoe()
			w.cameBy("takeover", "mike", "robert")
			w.told("takeover from")
		},
		"Take it over by hand": func() {
			w.has(`0/2 +robert \(pinned\)`, true)
			w.has(`1/2 +robert \(pinned\)`, true)
			w.told(`takeover from "joe"`)
		},
		"Let it go": func() {
			w.has(`owner +mike\s+pinned to +mike`, true)
			w.onJoe()
		},
		"Restart a node": func() {
			w.ended(w.cluster, "joe")
			w.WaitServed()
			w.told(`handoff from "joe"`)
		},
		"After the restart": func() {
			w.has(`handoff from "joe"`, true)
			w.onJoe()
		},
		"Disconnect a shard, and connect it elsewhere": func() {
			w.has(`"session_id"`, true)
			w.has(`shard 0 of 2 is ready at mike`, true)
			w.has(`owner +mike\s+pinned to +mike`, true)
		},
		"Take a shard to another cluster": func() {
			w.beside.WaitShard(1, "ready")
			if s := w.shard(1); s.State != "manual" || s.Owner != "" {
				w.t.Errorf("shard 1 is %s at %q in the cluster that gave it away", s.State, s.Owner)
			}
			w.has(`guilds +on +4 `, true)
		},
		"And back": func() {
			w.ended(w.beside, "anna")
			w.WaitServed()
		},
		"Empty a node": func() { w.has(`\d/2 +joe`, false) },
		"Leave": func() {
			w.ended(w.cluster, "robert")
			w.WaitServed()
			if n := len(w.status().Nodes); n != 2 {
				w.t.Errorf("%d nodes after one has left", n)
			}
		},
	}
}

// TestWalkOfTheDocs goes through docs/multi-node.md as a reader does, under load
// from the moment on in which the bot runs. It has the machine to itself: the
// page looks at where shards are right after its commands.
func TestWalkOfTheDocs(t *testing.T) {
	c := newCluster(t, simOptions(2))
	w := &walk{cluster: c, beside: c.Beside("beside"), dir: filepath.Join(c.dir, "walk"), addrs: map[string]string{}}
	must(t, os.Mkdir(w.dir, 0o755))
	judges, sections := w.judges(), parts(t, filepath.Join("..", "..", "docs", "multi-node.md"))
	step := func(p part) {
		t.Helper()
		begun := time.Now()
		w.run(p)
		judge := judges[p.title]
		if judge == nil || len(p.commands) == 0 {
			t.Fatalf("nothing to run, or nobody judges: %s", p.title)
		}
		judge()
		delete(judges, p.title)
		t.Logf("%s: %d commands in %v", p.title, len(p.commands), time.Since(begun).Round(time.Millisecond))
	}
	const before = 3 // sections before the bot runs
	for _, p := range sections[:before] {
		step(p)
	}
	r := c.While(func() {
		for _, p := range sections[before:] {
			step(p)
		}
	})
	if len(judges) > 0 {
		t.Errorf("sections that are not there: %v", slices.Sorted(maps.Keys(judges)))
	}
	c.Unharmed()
	w.settled()
	c.SameDigests()
	c.figure("the walk of docs/multi-node.md", r)
}
