package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// cluster is real nodes and a simulator in this process.
type cluster struct {
	sim   *sim.Server
	dir   string
	nodes []*proc
}

// program is what the nodes of a cluster run.
type program struct {
	bin   string   // built from pkg if it is ""
	pkg   string   // "" for the stock binary
	args  []string // for `start`
	env   []string
	nodes int // 0 for three
}

// clusterTLS has all nodes speak TLS to each other.
var clusterTLS bool

// stock is the stock binary with one of its built-in bots.
func stock(bin, builtin string) program {
	return program{bin: bin, args: []string{"--builtin", builtin}}
}

// ids are the names of the nodes.
func (p *program) ids() []string {
	ids := []string{"joe", "mike", "robert"}
	if p.nodes > 0 {
		ids = ids[:p.nodes]
	}
	return ids
}

// proc is one node's process.
type proc struct {
	id, http, addr, dir string
	cmd                 *exec.Cmd
}

// newCluster builds the binary, starts the simulator and the nodes, and waits
// until all shards are ready.
func newCluster(ctx context.Context, p program, o sim.Options) (*cluster, error) {
	dir, err := os.MkdirTemp("", "botnode-bench-")
	if err != nil {
		return nil, err
	}
	c := &cluster{sim: sim.New(o), dir: dir}
	if err := c.start(ctx, p); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, what program) error {
	if what.bin == "" {
		what.bin = filepath.Join(c.dir, "botnode")
		build := exec.CommandContext(ctx, "go", "build", "-o", what.bin, cmp.Or(what.pkg, "./cmd/botnode"))
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build: %w", err)
		}
	}
	if err := c.sim.Start(); err != nil {
		return err
	}
	ids := what.ids()
	for i, id := range ids {
		p := &proc{id: id, http: freeAddr(), addr: freeAddr(), dir: filepath.Join(c.dir, id)}
		args := []string{
			"start", "--id", id, "--data-dir", p.dir, "--cluster-addr", p.addr, "--http-addr", p.http,
			"--discord-api", c.sim.APIURL(), "--intents", "all", "--log-level", "warn",
		}
		args = append(args, what.args...)
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", c.nodes[0].addr)
		}
		if clusterTLS {
			args = append(args, "--cluster-tls")
			if i > 0 {
				token, err := c.joinToken(ctx, what.bin)
				if err != nil {
					return err
				}
				args = append(args, "--join-token-file", token)
			}
		}
		log, err := os.Create(p.dir + ".log")
		if err != nil {
			return err
		}
		p.cmd = exec.Command(what.bin, args...)
		p.cmd.Env = append(append(os.Environ(), "BOTNODE_TOKEN="+c.sim.Token()), what.env...)
		p.cmd.Stdout, p.cmd.Stderr = log, log
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := p.cmd.Start(); err != nil {
			return err
		}
		c.nodes = append(c.nodes, p)
		// One after the other, so that the first has a cluster to join.
		if err := c.until(ctx, 20*time.Second, func() bool { return len(c.status(p).Nodes) == i+1 }); err != nil {
			return fmt.Errorf("%s did not join: %w", id, err)
		}
	}
	// A node that has just joined does nothing before a leader has answered it.
	return c.until(ctx, 60*time.Second, func() bool {
		for _, p := range c.nodes {
			if st := c.status(p); st.Health != "ok" || len(st.Nodes) != len(ids) || st.Stale {
				return false
			}
		}
		return true
	})
}

// joinToken has the first node make a join token, and returns the file with it.
func (c *cluster) joinToken(ctx context.Context, bin string) (string, error) {
	var out []byte
	var err error
	made := c.until(ctx, 20*time.Second, func() bool { // once it leads
		out, err = exec.CommandContext(ctx, bin, "join-token", "create", "--http", "http://"+c.nodes[0].http).Output()
		return err == nil
	})
	if made != nil {
		return "", fmt.Errorf("no join token: %w", errors.Join(made, err))
	}
	file := filepath.Join(c.dir, "join-token")
	return file, os.WriteFile(file, out, 0o600)
}

func (c *cluster) close() {
	for _, p := range c.nodes {
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
	c.sim.Close()
	_ = os.RemoveAll(c.dir)
}

// status is the part of GET /v1/status that a measurement needs.
type status struct {
	Health string
	Stale  bool
	Leader *struct{ ID string }
	Nodes  []struct {
		ID           string
		AppliedIndex uint64 `json:"applied_index"`
	}
	Bots   []struct{ Unacked int }
	Shards []struct {
		ID    int
		Owner string
		Seq   int64
	}
}

func (c *cluster) status(p *proc) (st status) {
	c.get(p, "/v1/status", &st)
	return st
}

func (c *cluster) get(p *proc, path string, into any) {
	client := http.Client{Timeout: 2 * time.Second}
	res, err := client.Get("http://" + p.http + path)
	if err != nil {
		return
	}
	defer func() { _ = res.Body.Close() }()
	_ = json.NewDecoder(res.Body).Decode(into) // a zero value is a state that is waited on
}

func (c *cluster) post(p *proc, path, body string) error {
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Post("http://"+p.http+path, "application/json", bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode/100 != 2 {
		return errors.New(path + ": " + res.Status)
	}
	return nil
}

func (c *cluster) until(ctx context.Context, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ok() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// freeAddr returns a loopback address that was free a moment ago.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// cpu returns the CPU time that the nodes' processes have used together
// (proc(5): utime and stime, in ticks of 1/100 s).
func (c *cluster) cpu() time.Duration {
	total := time.Duration(0)
	for _, p := range c.nodes {
		total += cpuOf(p.cmd.Process.Pid)
	}
	return total
}

// cpuOf returns the CPU time that a process has used.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) <= 12 {
		return 0
	}
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return time.Duration(u+s) * 10 * time.Millisecond
}

// rss returns a node's resident memory in bytes.
func (p *proc) rss() int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	pages, _ := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// written returns the bytes that a node's process has given to the disk's
// files (proc(5), io: wchar counts sockets too, so the log's growth is read
// from write_bytes, which counts pages).
func (p *proc) written() int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}
