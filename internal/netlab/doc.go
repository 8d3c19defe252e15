// Package netlab is a network between a few hosts on one machine that breaks on
// command: each direction between two hosts can be cut, delayed, slowed, or made
// to lose packets, while what runs on the hosts knows of nothing.
//
// A host is a network namespace of the kernel with one interface, a TUN device
// whose other end this process holds. The package forwards the hosts' packets
// from device to device, so a fault is what it is on a real network: packets
// that don't come. Connections stay open at both ends, the kernels retransmit,
// and a cut in one direction lets the other through. A proxy between sockets
// can't do that, for it acknowledges what it doesn't deliver.
//
// Namespaces have no name and belong to the process: they go when it ends, however
// it ends. Nothing in them can reach the machine's own networks.
//
// The package needs Linux, root and /dev/net/tun. It refuses to touch anything
// outside its namespaces: no rule, route or interface of the machine is changed.
package netlab
