package httppeers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// TestPeersAreBounded: beyond the limit the newest goes.
func TestPeersAreBounded(t *testing.T) {
	cs := New(3, 2)
	var pairs []net.Conn
	closed := make(map[int]bool)
	for i := range 6 {
		a, b := net.Pipe()
		pairs = append(pairs, a)
		defer func() { _, _ = a.Close(), b.Close() }()
		if over := cs.add(a); over != nil {
			for j, c := range pairs {
				if c == over {
					closed[j] = true
					cs.State(c, http.StateClosed)
				}
			}
		}
		if i == 1 {
			cs.Spoke(Conn(context.Background(), a))
		}
	}
	// 0 is silent, 1 spoke, 2 is silent, 3 makes two silent ones too many: 0 goes; so do 2 and 3 later.
	if fmt.Sprint(closed) != "map[0:true 2:true 3:true]" {
		t.Errorf("closed: %v", closed)
	}
	if len(cs.all) != 3 || cs.silent.Len() != 2 || len(cs.place) != 2 {
		t.Errorf("%d in all, %d silent, %d places", len(cs.all), cs.silent.Len(), len(cs.place))
	}
}
