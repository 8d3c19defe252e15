package testproc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
)

// Build builds a package of the module into a folder and returns the program's
// path. root is the module's folder, flags are those of go build.
func Build(ctx context.Context, root, pkg, dir string, flags ...string) (string, error) {
	path := filepath.Join(dir, filepath.Base(pkg))
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("testproc: go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Ports are taken below the range from which systems draw the ports of
// outgoing connections: a port must stay free while its node is down.
const portLow, portHigh = 20_000, 32_000

// Ports hands out loopback addresses. Its zero value is ready.
type Ports struct {
	mu   sync.Mutex // guards used
	used map[int]bool
}

// Addr returns an address that is free for TCP and UDP and was not given out
// before.
func (p *Ports) Addr() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		port := portLow + rand.IntN(portHigh-portLow)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if p.used[port] || !free(addr) {
			continue
		}
		if p.used == nil {
			p.used = make(map[int]bool)
		}
		p.used[port] = true
		return addr, nil
	}
	return "", fmt.Errorf("testproc: no port is free in %d-%d", portLow, portHigh)
}

func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}
