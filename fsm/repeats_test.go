package fsm

import (
	"bytes"
	"testing"
)

// TestSnapshotOfShardsWithoutOwners shows that a bot's shards can be read back
// before anybody has had them, when their records are at their shortest.
func TestSnapshotOfShardsWithoutOwners(t *testing.T) {
	b := newBench(t)
	b.must(&Init{ClusterID: "c"}, &Configure{Bot: testBot, Config: []byte(`{}`)}, &Layout{Bot: testBot, Total: 100, To: 99})
	if _, _, err := ReadSnapshot(bytes.NewReader(b.snapshot())); err != nil {
		t.Error(err)
	}
}

// TestFencesAreNotGivenAgain shows that a restore of an older state gives no
// fence again that was given since.
func TestFencesAreNotGivenAgain(t *testing.T) {
	b := setup(t)
	snapshot := b.snapshot()
	var last uint64
	for range 3 {
		last = b.do(&Lock{Bot: testBot, Name: "x", Node: joe})[0].Version
		b.must(&Unlock{Bot: testBot, Name: "x", Fence: last})
	}
	if err := b.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	b.must(&Renew{Generation: 2})
	b.must(&Up{Node: mike})
	if again := b.do(&Lock{Bot: testBot, Name: "x", Node: mike})[0].Version; again <= last {
		t.Errorf("fence %d after %d", again, last)
	}
}

// TestRetriedLetterIsAnother shows that a repeat of the failure that buried an
// entry, which comes late, doesn't bury it again after an operator's retry, and
// that a retry in the same entry of the log shows as one.
func TestRetriedLetterIsAnother(t *testing.T) {
	b := setup(t)
	b.must(events(1, 1, message(2, 40)))
	was := b.pending()[0]
	fail := &Fail{Bot: testBot, Shard: shard0, Pos: was.Pos, Runner: joe, Failed: []HandlerError{{Handler: "log", Limit: 1}, {Handler: "ping", Limit: 1}}}
	retry := &Dead{Bot: testBot, Pos: was.Pos, Retry: true}
	b.must(fail, retry)
	p := b.pending()
	if len(p) != 1 || p[0].Retries == was.Retries {
		t.Fatalf("after the retry: %+v", p)
	}
	if r := b.do(fail)[0]; r.Code != Old || len(b.pending()) != 1 {
		t.Errorf("a late repeat: %v, %d entries", r.Code, len(b.pending()))
	}
	fail.Retries = p[0].Retries
	b.must(fail)
	if n := b.bot().DeadCount(); n != 1 {
		t.Errorf("%d dead letters after it has failed again", n)
	}
}

// TestRefusedAdditionStaysRefused shows that an answer is a promise: an addition
// that was refused doesn't take effect later, nor is one that took effect refused.
func TestRefusedAdditionStaysRefused(t *testing.T) {
	b := setup(t)
	add := &KVWrite{Bot: testBot, ID: 7, Change: KVChange{Key: "n", Add: 1}}
	b.write(1, "n", "no number")
	if r := b.do(add)[0]; r.Code != Refused {
		t.Fatal(r.Code)
	}
	b.write(2, "n", "1")
	if r := b.do(add)[0]; r.Code == OK {
		t.Errorf("a repeat of a refused addition: %v", r.Code)
	}
	more := &KVWrite{Bot: testBot, ID: 8, Change: KVChange{Key: "n", Add: 1}}
	b.must(more)
	b.write(3, "n", "no number")
	if r := b.do(more)[0]; r.Code != OK {
		t.Errorf("a repeat of an addition that was made: %v", r.Code)
	}
}
