package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// A directory can be opened again by the process that closed it: nothing of it
// stays locked, and what was appended is there.
func TestStoresOpenAgainInOneProcess(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	done := make(chan error, 1)
	go func() {
		for range 2 {
			s, err := openStores(o, hclog.NewNullLogger())
			if err != nil {
				done <- err
				return
			}
			last, err := s.log.LastIndex()
			if err == nil {
				err = s.log.StoreLog(&raft.Log{Index: last + 1, Term: 1, Data: []byte("entry")})
			}
			if err == nil && last == 1 {
				err = s.log.GetLog(1, &raft.Log{})
			}
			if err != nil {
				done <- err
				return
			}
			if err := s.close(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the stores are locked by the process that closed them")
	}
}
