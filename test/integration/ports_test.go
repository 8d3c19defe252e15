//go:build linux

package integration

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDefaultNodeListensOnLoopbackAlone reads which sockets a node has that others
// could send to: with the addresses that it has by default none but loopback's.
func TestDefaultNodeListensOnLoopbackAlone(t *testing.T) {
	c := newCluster(t, simOptions(1))
	c.Start("joe", "--bootstrap", "--cluster-tls")
	c.WaitReady()
	joe := c.nodes["joe"]
	open := listening(t, joe.proc.PID())
	var ports []string
	for _, s := range open {
		if !s.addr.IP.IsLoopback() {
			t.Errorf("%s %s is open to others", s.net, s.addr.AddrPort())
		}
		ports = append(ports, s.net+" "+s.addr.AddrPort().String())
	}
	for _, want := range []string{"tcp " + joe.http, "tcp " + joe.cluster, "udp " + joe.cluster} {
		if !slices.Contains(ports, want) {
			t.Errorf("%s isn't seen among %v: the test looks in the wrong place", want, ports)
		}
	}
	if len(open) != 3 {
		t.Errorf("%v: a node listens for its API and, by TCP and UDP, for other nodes", ports)
	}

	// What is open to others is seen.
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if !slices.ContainsFunc(listening(t, os.Getpid()), func(s socket) bool { return s.net == "tcp" && s.addr.IP.IsUnspecified() }) {
		t.Error("a socket that is open to others isn't seen")
	}
}

// socket is one that waits for others.
type socket struct {
	net  string // tcp or udp
	addr *net.TCPAddr
}

// listening returns the TCP sockets that a process listens on, and the UDP sockets
// that take datagrams of anybody.
func listening(t *testing.T, pid int) (out []socket) {
	t.Helper()
	own := make(map[string]bool)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Skip("no /proc here")
	}
	for _, link := range links {
		to, _ := os.Readlink(link) // it may be closed by now
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue // no IPv6
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local remote state queues timer retransmits uid timeout inode ...
			w := strings.Fields(lines.Text())
			if len(w) < 10 || !own[w[9]] {
				continue
			}
			const listens, unconnected = "0A", "07"
			if kind := table[:3]; kind == "tcp" && w[3] == listens || kind == "udp" && w[3] == unconnected {
				out = append(out, socket{kind, address(t, w[1])})
			}
		}
		_ = f.Close() // it was only read
	}
	return out
}

// address reads the kernel's form of an address: words in the machine's order, here
// little-endian.
func address(t *testing.T, text string) *net.TCPAddr {
	t.Helper()
	ip, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(ip)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil {
		t.Fatalf("an address: %q", text)
	}
	for i := 0; i+4 <= len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	return &net.TCPAddr{IP: b, Port: int(n)}
}
