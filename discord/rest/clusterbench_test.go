package rest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/botnode/botnode/transport"
)

// wire reaches other limiters over the transport of the nodes, on loopback.
type wire struct {
	t     *transport.Transport
	addrs map[string]string
}

// Call implements Peers.
func (w wire) Call(ctx context.Context, to Member, msg []byte) ([]byte, error) {
	return w.t.Call(ctx, w.addrs[to.ID], 5, msg)
}

// wired starts two limiters that reach each other by TCP.
func wired(b *testing.B) []*Cluster {
	addrs := map[string]string{}
	var out []*Cluster
	view := View{Number: 1}
	for i := range 2 {
		id := fmt.Sprint("n", i)
		t, err := transport.Listen(transport.Options{
			Bind: "127.0.0.1:0", ID: id, Incarnation: 1, ClusterID: func() string { return "bench" }, Insecure: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		c := NewCluster(ClusterOptions{Self: Member{id, 1}, Peers: wire{t, addrs}, GlobalPerSecond: Unlimited})
		t.HandleOrdered(5, func(from transport.Peer, msg []byte, reply func([]byte, error)) {
			c.Handle(Member{from.ID, from.Incarnation}, msg, reply)
		})
		addrs[id] = t.Addr()
		t.Start()
		b.Cleanup(func() {
			c.Close()
			_ = t.Close()
		})
		out = append(out, c)
		view.Members = append(view.Members, Member{id, 1})
	}
	for _, c := range out {
		c.SetView(view)
	}
	return out
}

// BenchmarkAcquire is what the limiter adds to a request: for a bucket that this
// node keeps, and for one of another node.
func BenchmarkAcquire(b *testing.B) {
	nodes := wired(b)
	for _, remote := range []bool{false, true} {
		name := map[bool]string{false: "local", true: "remote"}[remote]
		channel := 0
		for nodes[0].view.homeOf(fmt.Sprint("channels/", channel), IdentityBot) == nodes[0].o.Self == remote {
			channel++
		}
		r := Request{Route: "GET /channels/{id}", Major: fmt.Sprint("channels/", channel)}
		one := func() {
			r.Since = time.Now()
			p, err := nodes[0].Acquire(b.Context(), r)
			if err != nil {
				b.Fatal(err)
			}
			p.Done(Answer{Status: 200})
		}
		for range 10 {
			one() // connections are made, the bucket is known
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				one()
			}
		})
	}
}
