package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// saved returns a snapshot of the cache.
func saved(t fataler, c *Cache) []byte {
	t.Helper()
	cp := c.Capture()
	defer cp.Release()
	var out bytes.Buffer
	n, err := cp.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, out.Len(), err)
	}
	return out.Bytes()
}

func TestSnapshotRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policies().Draw(t, "policies")
		c := New(p)
		events := rapid.SliceOfN(anyEvent(), 0, 40).Draw(t, "events")
		for _, e := range events {
			c.Apply(0, 1, e.name, []byte(e.d))
		}
		if rapid.Bool().Draw(t, "change") {
			p = policies().Draw(t, "policies")
			c.setPolicies(p, rapid.IntRange(0, 5).Draw(t, "first"))
		}
		snapshot := saved(t, c)
		restored, err := Read(bytes.NewReader(snapshot), p)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		check(t, restored)
		more := rapid.SliceOfN(anyEvent(), 0, 40).Draw(t, "more")
		for i, e := range append([]testEvent{{}}, more...) {
			c.Apply(0, 1, e.name, []byte(e.d))
			restored.Apply(0, 1, e.name, []byte(e.d))
			c.Sweep(i % 4)
			restored.Sweep(i % 4)
			if c.Digest() != restored.Digest() {
				t.Fatalf("digests differ after %d events: %s", i, difference(contents(c), contents(restored)))
			}
		}
		if !bytes.Equal(saved(t, c), saved(t, restored)) {
			t.Fatalf("equal caches write different snapshots")
		}
	})
}

func TestSnapshotErrors(t *testing.T) {
	good := saved(t, filled(everything()))
	for n := range good {
		if _, err := Read(bytes.NewReader(good[:n]), everything()); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d of %d: %v", n, len(good), err)
		}
	}
	for n := range good {
		bad := bytes.Clone(good)
		bad[n] ^= 1
		// Counters and write numbers aren't covered by the digest; all else is.
		if c, err := Read(bytes.NewReader(bad), everything()); err == nil && c.Digest() != filled(everything()).Digest() {
			t.Fatalf("byte %d of %d changed unseen", n, len(good))
		}
	}
	boom := errors.New("boom")
	if _, err := Read(io.MultiReader(bytes.NewReader(good[:99]), iotest.ErrReader(boom)), everything()); !errors.Is(err, boom) {
		t.Errorf("the source's error is %v", err)
	}
	if _, err := filled(everything()).Capture().WriteTo(failing{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the target's error is %v", err)
	}
}

// failing is a writer that fails.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestReadEndsWhereTheSnapshotDoes(t *testing.T) {
	in := bytes.NewReader(append(saved(t, filled(everything())), "tail"...))
	if _, err := Read(in, everything()); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "tail" {
		t.Errorf("%q is left", rest)
	}
}

func TestReadUnderOtherPolicies(t *testing.T) {
	snapshot := saved(t, filled(everything()))
	p := everything()
	p[Roles].Mode, p[Members] = Off, Policy{Mode: Bounded, MaxCount: 1}
	c, err := Read(bytes.NewReader(snapshot), p)
	if err != nil {
		t.Fatal(err)
	}
	check(t, c)
}

// A capture that is written while events go on is the state at the capture.
func TestCaptureWhileApplying(t *testing.T) {
	c := New(everything())
	for g := range 20 {
		c.Apply(0, 1, "GUILD_CREATE", guildJSON(g+1, 50))
	}
	var wg sync.WaitGroup
	for round := range 5 {
		want, frozen := saved(t, c), c.Capture()
		twin := c.Capture()
		wg.Add(2)
		for _, cp := range []*Capture{frozen, twin} {
			go func() {
				defer wg.Done()
				defer cp.Release()
				var got bytes.Buffer
				if _, err := cp.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("round %d: the capture changed, or %v", round, err)
				}
			}()
		}
		for i := range 400 {
			g, u := i%20+1, i%60+1
			c.Apply(0, 1, "GUILD_MEMBER_UPDATE", fmt.Appendf(nil, `{"guild_id":"%d","user":{"id":"%d","username":"r%d"},"nick":"n%d"}`, g, u, round, i))
			switch i % 50 {
			case 10:
				c.Apply(0, 1, "GUILD_DELETE", fmt.Appendf(nil, `{"id":"%d"}`, g))
			case 40:
				c.Apply(0, 1, "GUILD_CREATE", guildJSON(i/50+1, 50+round))
			}
		}
	}
	wg.Wait()
	check(t, c)
}

func TestReleasedCapture(t *testing.T) {
	cp := filled(everything()).Capture()
	cp.Release()
	cp.Release()
	if n, err := cp.WriteTo(io.Discard); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a released capture wrote %d bytes, %v", n, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(saved(f, New(everything())))
	f.Add(saved(f, filled(everything())))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := everything()
		p[Members] = Policy{Mode: Bounded, MaxCount: 1}
		c, err := Read(bytes.NewReader(b), p)
		if err != nil {
			return
		}
		if c.Digest() != c.Recompute() {
			t.Fatal("the digest is wrong")
		}
		c.Apply(0, 1, "GUILD_CREATE", []byte(fullGuild))
		c.Apply(0, 1, "GUILD_DELETE", []byte(`{"id":"100"}`))
		if c.Digest() != c.Recompute() {
			t.Fatal("the digest is wrong after events")
		}
	})
}
