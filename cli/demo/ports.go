package demo

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports are taken from below the range that systems give to outgoing
// connections: the killed node must find its port free when it returns.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// freePorts finds n ports of loopback that are free for TCP and UDP.
func freePorts(n int) ([]string, error) {
	taken := map[int]bool{}
	var out []string
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if taken[port] || !isFree(addr) {
			continue
		}
		taken[port] = true
		if out = append(out, addr); len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("no free ports on 127.0.0.1")
}

func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = l.Close() }()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return p.Close() == nil
}
