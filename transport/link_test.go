package transport

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// peerProcess is the re-executed test binary: a node "peer" that lives until it
// is killed. spec is "addr incarnation".
func peerProcess(spec string) int {
	addr, inc, _ := strings.Cut(spec, " ")
	n, _ := strconv.ParseUint(inc, 10, 64)
	tr, err := Listen(Options{Bind: addr, ID: "peer", Incarnation: n, ClusterID: func() string { return "c1" }})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	tr.Handle(mEcho, echo)
	tr.Start()
	fmt.Println(tr.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test process at the latest
	return 0
}

type process struct {
	cmd  *exec.Cmd
	addr string
}

func startPeer(t *testing.T, addr string, inc int) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", peerEnv, addr, inc))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(func() {
		_ = stdin.Close()
		p.signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("peer process said %q, %v", line, err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

// signal goes to this one process, by its id.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// watcher is a node "w" whose link events can be awaited.
func watcher(t *testing.T, timing linkTiming) (*Transport, <-chan LinkEvent) {
	t.Helper()
	events := make(chan LinkEvent, 100)
	tr := listen(t, "w", func(o *Options) { o.OnLink = func(e LinkEvent) { events <- e } })
	tr.timing = timing
	tr.Start()
	return tr, events
}

func await(t *testing.T, events <-chan LinkEvent, s LinkState, inc uint64) LinkEvent {
	t.Helper()
	select {
	case e := <-events:
		if e.State != s || e.Peer.Incarnation != inc {
			t.Fatalf("got %v of #%d (%v), want %v of #%d", e.State, e.Peer.Incarnation, e.Err, s, inc)
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatalf("no event, want %v of #%d", s, inc)
		return LinkEvent{}
	}
}

func none(t *testing.T, events <-chan LinkEvent, d time.Duration) {
	t.Helper()
	select {
	case e := <-events:
		t.Fatalf("unexpected event %v of %s#%d (%v)", e.State, e.Peer.ID, e.Peer.Incarnation, e.Err)
	case <-time.After(d):
	}
}

func TestKilledProcessIsDeadAtOnce(t *testing.T) {
	w, events := watcher(t, defaultTiming)
	inc, addr := uint64(0), "127.0.0.1:0"
	var took, sinceEnd []time.Duration
	for range 5 {
		inc++
		p := startPeer(t, addr, int(inc))
		if addr = p.addr; inc == 1 {
			w.Watch(addr, "peer")
		}
		await(t, events, Up, inc)
		killed := time.Now()
		p.signal(syscall.SIGKILL)
		dead := await(t, events, Dead, inc)
		took = append(took, time.Since(killed))
		sinceEnd = append(sinceEnd, time.Since(dead.At))
		_ = p.cmd.Wait()
	}
	t.Logf("kill -9 to Dead: %v, of which after the end of the link: %v", took, sinceEnd)
	for _, d := range took {
		if d > time.Second {
			t.Errorf("took %v", d)
		}
	}
}

var quick = linkTiming{
	ping: 20 * time.Millisecond, silence: 60 * time.Millisecond, cut: 300 * time.Millisecond,
	backoffMin: 5 * time.Millisecond, backoffMax: 20 * time.Millisecond,
}

func TestPausedProcessIsLostNeverDead(t *testing.T) {
	p := startPeer(t, "127.0.0.1:0", 7)
	w, events := watcher(t, quick)
	w.Watch(p.addr, "peer")
	await(t, events, Up, 7)
	p.signal(syscall.SIGSTOP)
	await(t, events, Lost, 7)
	none(t, events, 2*quick.cut) // its connection is cut and redials hang in the handshake
	p.signal(syscall.SIGCONT)
	await(t, events, Up, 7)
	p.signal(syscall.SIGKILL)
	await(t, events, Dead, 7)
}

func TestRestartIsDeathThenUp(t *testing.T) {
	w, events := watcher(t, quick)
	p := node(t, "peer", incarnation(1))
	w.Watch(p.Addr(), "peer")
	await(t, events, Up, 1)
	_ = p.Close()
	await(t, events, Dead, 1)
	node(t, "peer", func(o *Options) { o.Bind, o.Incarnation = p.Addr(), 2 })
	await(t, events, Up, 2)
	none(t, events, 3*quick.silence)
}

func TestNewIncarnationProvesDeathOfTheOld(t *testing.T) {
	// Through a proxy, the successor is up before the link to the old one ends.
	w, events := watcher(t, quick)
	old := node(t, "peer", incarnation(1))
	px := newCutter(t, old.Addr())
	w.Watch(px.addr(), "peer")
	await(t, events, Up, 1)
	next := node(t, "peer", incarnation(2))
	px.retarget(next.Addr())
	px.cut()
	await(t, events, Dead, 1)
	await(t, events, Up, 2)
	none(t, events, 3*quick.silence)
}

func TestCutConnectionIsNoDeath(t *testing.T) {
	w, events := watcher(t, quick)
	p := node(t, "peer", nil)
	px := newCutter(t, p.Addr())
	w.Watch(px.addr(), "peer")
	await(t, events, Up, 1)
	for range 5 {
		px.cut()
	}
	none(t, events, 3*quick.silence)
	// A proxy that cuts in the handshake looks like a dying process for a while.
	px.retarget("")
	px.cut()
	await(t, events, Lost, 1)
	px.retarget(p.Addr())
	await(t, events, Up, 1)
}

func TestHangingListenerIsLostNeverDead(t *testing.T) {
	w, events := watcher(t, quick)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a backlog that nobody empties
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.Watch(l.Addr().String(), "peer")
	await(t, events, Lost, 0)
	none(t, events, 3*quick.silence)
	if err := w.Close(); err != nil { // also with a dial under way
		t.Error(err)
	}
}

func TestUnwatchAndWrongPeer(t *testing.T) {
	w, events := watcher(t, quick)
	p := node(t, "other", nil)
	w.Watch(p.Addr(), "peer")
	await(t, events, Lost, 0)
	w.Watch(p.Addr(), "other")
	e := await(t, events, Up, 1)
	if e.Peer.ID != "other" {
		t.Errorf("got %q", e.Peer.ID)
	}
	w.Unwatch(p.Addr())
	_ = p.Close()
	none(t, events, 3*quick.silence)
}

// cutter is a TCP proxy whose connections can be cut while its listener lives.
type cutter struct {
	l      net.Listener
	mu     sync.Mutex
	target string
	conns  []net.Conn
	wg     sync.WaitGroup
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{l: l, target: target}
	c.wg.Go(c.run)
	t.Cleanup(func() { _ = l.Close(); c.cut(); c.wg.Wait() })
	return c
}

func (c *cutter) addr() string { return c.l.Addr().String() }

func (c *cutter) run() {
	for {
		in, err := c.l.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		out, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = in.Close()
		} else {
			c.conns = append(c.conns, in, out)
			c.wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
			c.wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
		}
		c.mu.Unlock()
	}
}

func (c *cutter) retarget(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = addr
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.conns {
		_ = x.Close()
	}
	c.conns = nil
}

func TestDeathBehindAName(t *testing.T) {
	w, events := watcher(t, quick)
	p := node(t, "peer", nil)
	_, port, _ := net.SplitHostPort(p.Addr())
	w.Watch("localhost:"+port, "peer")
	await(t, events, Up, 1)
	// A refusal by another of the name's addresses proves nothing.
	living := &link{t: w, addr: "name:" + port, remote: p.Addr()}
	if living.confirmed() {
		t.Error("a living socket address confirmed a death")
	}
	_ = p.Close()
	await(t, events, Dead, 1)
}
