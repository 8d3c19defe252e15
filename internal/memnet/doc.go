// Package memnet is a network in memory: listeners, streams and datagrams among
// the goroutines of one process, with no port of the machine taken.
//
//	n := memnet.New()
//	a, b := n.Host(), n.Host()
//	ln, err := a.Listen("tcp", "127.0.0.1:0")
//	c, err := b.DialContext(ctx, "tcp", ln.Addr().String())
//	a.Kill()
//
// A Host is what a process is on a real network: what it has opened ends with
// it, all at once. After Kill its peers read what was sent and then the end of
// the stream, and whoever dials its addresses is refused, with the error values
// that the kernel gives; so a death in memory is found out by the same code as
// kill -9 of a process.
//
// The package has no losses, delays or partitions, and no names: addresses are
// IP:port, and all hosts share one address space, as processes on one machine do.
package memnet
