package rest

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
	"time"
)

// someMessages is one of each kind, with every field set.
func someMessages() [][]byte {
	req := Request{Route: "GET /channels/{id}", Major: "channels/1", Identity: IdentityBearer}
	view := stamp{number: 7, digest: 1 << 60}
	answer := Answer{
		Status: 429, Bucket: "h", Limit: 5, Remaining: 2, Reset: 1470173023123,
		ResetAfter: 5 * time.Second, RetryAfter: time.Second, Scope: ScopeShared,
	}
	known := bucketKnown{
		hash: "h", major: "channels/1", identity: IdentityNone, routes: []string{"a", "b"}, limit: 5, remaining: 3, window: 99,
		resetAfter: time.Second, length: 5 * time.Second, exact: true, lost: []time.Duration{time.Millisecond},
		blocked: time.Minute, scope: ScopeUser,
	}
	in := &inform{
		view: view, death: time.Second, invalid: 3, lanes: []laneHeld{{IdentityNone, 4, 5, 6}},
		buckets: []bucketKnown{known}, flights: []flight{{8, req}}, losses: []loss{{req, time.Second}}, asks: []uint64{3, 300}, newest: 301, again: true,
	}
	tell := []byte{msgTell, 9}
	for _, it := range []item{
		{kind: itemReport, id: 1, req: req, answer: answer}, {kind: itemCancel, id: 2}, {kind: itemInform, inform: in},
		{kind: itemPoke, identity: IdentityNone}, {kind: itemBlocked, identity: IdentityBot, edge: true, wait: time.Second},
		{kind: itemInvalid, count: 4},
	} {
		tell = appendItem(tell, it)
	}
	return [][]byte{
		acquireMsg{view: view, id: 3, age: time.Second, patience: time.Minute, req: req}.append(nil),
		laneMsg{view: view, seq: 4, identity: IdentityBearer, held: 5, want: 6}.append(nil),
		tell,
	}
}

// encode is the opposite of decodeMessage.
func (m message) encode() []byte {
	switch m.kind {
	case msgAcquire:
		return m.acquire.append(nil)
	case msgLane:
		return m.lane.append(nil)
	}
	b := []byte{msgTell}
	b = binary.AppendUvarint(b, m.seq)
	for _, it := range m.items {
		b = appendItem(b, it)
	}
	return b
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, b := range someMessages() {
		m, err := decodeMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := m.encode(); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
		for n := range b {
			if _, err := decodeMessage(b[:n]); err == nil && m.kind != msgTell { // a shorter tell has fewer items
				t.Errorf("%d of %d bytes are read as a message", n, len(b))
			}
		}
	}
	for _, a := range []acquireAns{
		{code: ansGranted, view: stamp{3, 4}}, {code: ansRefused, wait: time.Second, scope: ScopeUser}, {code: ansMoved, view: stamp{1, 2}},
	} {
		if got, err := decodeAcquireAns(a.append(nil)); err != nil || got != a {
			t.Errorf("%+v became %+v, %v", a, got, err)
		}
	}
	for _, a := range []laneAns{{code: ansGranted, held: 3, target: 2}, {code: ansMoved, view: stamp{1, 2}}} {
		if got, err := decodeLaneAns(a.append(nil)); err != nil || got != a {
			t.Errorf("%+v became %+v, %v", a, got, err)
		}
	}
}

// FuzzMessage: whatever comes from another node is read or refused, and what was
// read says the same when it is written and read again.
func FuzzMessage(f *testing.F) {
	for _, b := range someMessages() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(m.encode())
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

// FuzzAnswers is the same for answers.
func FuzzAnswers(f *testing.F) {
	f.Add(acquireAns{code: ansRefused, wait: time.Second, scope: ScopeUser}.append(nil))
	f.Add(laneAns{code: ansGranted, held: 3, target: 2}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := decodeAcquireAns(b); err == nil {
			if again, err := decodeAcquireAns(a.append(nil)); err != nil || again != a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
		if a, err := decodeLaneAns(b); err == nil {
			if again, err := decodeLaneAns(a.append(nil)); err != nil || again != a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}
