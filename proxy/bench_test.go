package proxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
)

// rawClient is a client that costs next to nothing: it looks at no message.
type rawClient struct {
	net.Conn
	r *bufio.Reader
}

// raw connects and identifies.
func (n *bedNode) raw(query string, small bool) *rawClient {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.server.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	size := 64 << 10
	if small {
		size = 16
	}
	c := &rawClient{Conn: conn, r: bufio.NewReaderSize(conn, size)}
	_, _ = fmt.Fprintf(conn, "GET /?%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query)
	if res, err := http.ReadResponse(bufio.NewReaderSize(c.r, 16), nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		n.t.Fatalf("%+v, %v", res, err)
	}
	identify := fmt.Sprintf(`{"op":2,"d":{"token":%q,"intents":%d}}`, n.key, bedIntents)
	frame := append([]byte{0x81, 0xfe}, 0, 0, 0, 0, 0, 0) // a text, masked with 0
	binary.BigEndian.PutUint16(frame[2:], uint16(len(identify)))
	if _, err := conn.Write(append(frame, identify...)); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// skip reads so many WebSocket messages, and returns their bytes.
func (c *rawClient) skip(n int) (size int, err error) {
	for range n {
		var head [10]byte
		if _, err := io.ReadFull(c.r, head[:2]); err != nil {
			return size, err
		}
		length := int(head[1] & 0x7f)
		switch length {
		case 126:
			if _, err := io.ReadFull(c.r, head[:2]); err != nil {
				return size, err
			}
			length = int(binary.BigEndian.Uint16(head[:]))
		case 127:
			if _, err := io.ReadFull(c.r, head[:8]); err != nil {
				return size, err
			}
			length = int(binary.BigEndian.Uint64(head[:]))
		}
		if _, err := c.r.Discard(length); err != nil {
			return size, err
		}
		size += length
	}
	return size, nil
}

// benchMessage is the d of a MESSAGE_CREATE of 1.1 KB, of words by chance.
func benchMessage(i int) []byte {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	var text strings.Builder
	for text.Len() < 420 {
		for range 2 + rng.IntN(7) {
			text.WriteByte("etaoinshrdlcumwf"[min(rng.IntN(16), rng.IntN(16))])
		}
		text.WriteByte(' ')
	}
	d := fmt.Sprintf(`{"type":0,"tts":false,"timestamp":"2026-01-01T12:00:%02d.123000+00:00","pinned":false,"nonce":"%d","mentions":[],`+
		`"mention_roles":[],"mention_everyone":false,"member":{"roles":["%d","%d"],"nick":null,"joined_at":"2020-05-17T09:41:23.123000+00:00","deaf":false,"mute":false,"flags":0},`+
		`"id":"%d","flags":0,"embeds":[],"edited_timestamp":null,"content":"%s","components":[],"channel_id":"%d","author":{"username":"user%d","public_flags":0,"id":"%d",`+
		`"global_name":"User %d","discriminator":"0","avatar":"%016x%016x"},"attachments":[],"guild_id":"%d"}`,
		i%60, rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64(), text.String(), guildID(0)+1, i, rng.Uint64(), i, rng.Uint64(), rng.Uint64(), guildID(0))
	return []byte(d)
}

// cpu is the process's CPU time.
func cpu(tb tb) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// zstdBlocks is zstd-stream of a node at which no stream looks back.
const zstdBlocks = "zstd-stream-blocks"

// compression makes a node compress in a way, and returns its name in a query.
func (n *bedNode) compression(kind string) string {
	n.server.zstd.most = 1 << 20
	if kind == zstdBlocks {
		n.server.zstd.most = 0
		return "zstd-stream"
	}
	return kind
}

// BenchmarkFanOut sends events of 1.1 KB to clients that read them as fast as
// they can, and is at most 512 events ahead of them. An operation is an event, for all clients. The CPU is that of the
// whole process: what commits the events and what reads them included.
func BenchmarkFanOut(b *testing.B) {
	for _, kind := range []string{"none", "zlib-stream", "zstd-stream", zstdBlocks} {
		for _, clients := range []int{0, 1, 4, 16} {
			b.Run(fmt.Sprintf("%s/clients=%d", kind, clients), func(b *testing.B) { benchFanOut(b, kind, clients) })
		}
	}
}

func benchFanOut(b *testing.B, kind string, clients int) {
	const batch, ahead, different = 64, 8, 1024
	bed := newBed(b, bedOptions{guilds: 1, retain: 256 << 20})
	kind = bed.nodes[0].compression(kind)
	var evs []fsm.Event
	for i := range different {
		d := benchMessage(i)
		evs = append(evs, fsm.Event{Type: discord.EventMessageCreate, Guild: guildID(0), Lane: guildID(0), Raw: d, Slices: cache.Slice(d).Slices})
	}
	bed.guild(guildID(1), 0) // a keeper of the interest below
	bed.must(&fsm.Interests{Bot: bedBot, List: []fsm.Interest{{Type: discord.EventMessageCreate}}})
	batches := (b.N + batch - 1) / batch
	sizes, errs := make(chan int, clients), make(chan error, clients)
	room := make([]chan struct{}, clients) // of each client: batches that it may be behind
	for i := range clients {
		room[i] = make(chan struct{}, ahead)
		c := bed.nodes[0].raw("compress="+kind, false)
		if _, err := c.skip(4); err != nil { // HELLO, READY, guilds
			b.Fatal(err)
		}
		go func() {
			size, err := 0, error(nil)
			for range batches {
				var n int
				if n, err = c.skip(batch); err != nil {
					break
				}
				size += n
				<-room[i]
			}
			sizes <- size
			errs <- err
		}()
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for k := range batches {
		for _, r := range room {
			r <- struct{}{}
		}
		part := evs[k*batch%different:][:batch]
		cmd := &fsm.Events{Bot: bedBot, Shard: bed.shard, Epoch: 1, SID: "s1", Prev: bed.s, At: 1}
		for i := range part {
			part[i].S = bed.s + int64(i) + 1
		}
		cmd.Evs = part
		bed.s += batch
		bed.must(cmd)
	}
	total := 0
	for range clients {
		total += <-sizes
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	used, n := cpu(b)-before, float64(batches*batch)
	b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/event")
	if clients > 0 {
		b.ReportMetric(float64(total)/n/float64(clients), "B/event")
	}
}

// BenchmarkMemoryOfAClient tells what a client that is connected and has been
// sent some events keeps in memory, goroutines included.
func BenchmarkMemoryOfAClient(b *testing.B) {
	const clients = 100
	for _, kind := range []string{"none", "zlib-stream", "zstd-stream", zstdBlocks} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				bed := newBed(b, bedOptions{guilds: 1})
				kind := bed.nodes[0].compression(kind)
				before := inUse()
				var all []*rawClient
				for range clients {
					c := bed.nodes[0].raw("compress="+kind, true)
					if _, err := c.skip(3); err != nil {
						b.Fatal(err)
					}
					all = append(all, c)
				}
				for i := range 20 {
					bed.emit(discord.EventMessageCreate, guildID(0), benchMessage(i))
				}
				for _, c := range all {
					if _, err := c.skip(20); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(inUse()-before)/clients, "B/client")
				for _, c := range all {
					_ = c.Close()
				}
				bed.close()
			}
		})
	}
}

// inUse is what the heap and the stacks hold that is in use.
func inUse() int64 {
	for range 3 { // pools are emptied by two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkBegin has a client identify with a shard of 2,500 guilds of 50 members
// each, as large as Discord allows. held-us is the longest time for which another
// reader and writer of the state had to wait meanwhile.
func BenchmarkBegin(b *testing.B) {
	for _, kind := range []string{"none", "zlib-stream", "zstd-stream"} {
		b.Run(kind, func(b *testing.B) {
			bed := newBed(b, bedOptions{guilds: 2500, members: 49})
			n := bed.nodes[0]
			size := 0
			var held time.Duration
			b.ResetTimer()
			for b.Loop() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					c := n.raw("compress="+kind, false)
					got, err := c.skip(2502)
					if err != nil {
						b.Error(err)
					}
					size = got
					_ = c.Close()
				}()
				for over := false; !over; {
					begun := time.Now()
					bed.commit(n, func(*fsm.State) fsm.Command { return &fsm.TouchClient{Bot: bedBot, SID: "none"} })
					held = max(held, time.Since(begun))
					select {
					case <-done:
						over = true
					case <-time.After(time.Millisecond):
					}
				}
			}
			b.ReportMetric(float64(size), "B")
			b.ReportMetric(float64(held.Microseconds()), "held-us")
		})
	}
}

// BenchmarkManySessions has the feed of a bot with 2,500 sessions on this node
// take an event that none of them is sent. An operation is an event.
func BenchmarkManySessions(b *testing.B) {
	bed := newBed(b, bedOptions{guilds: 1})
	bed.must(&fsm.Interests{Bot: bedBot, List: []fsm.Interest{{Type: discord.EventTypingStart}}})
	s := bed.nodes[0].server
	f := s.follow(bedBot)
	defer s.leave(f)
	_, hash := NewKey(bedSelf)
	bed.must(&fsm.PutClientKey{Bot: bedBot, Key: fsm.ClientKey{Name: "many", Hash: hash, Rights: fsm.RightEvents, At: 1}})
	for i := range fsm.MaxKeySessions {
		w := &follower{sid: fmt.Sprint(i), attach: 1, key: hash, generation: 1, end: func(e *ending) { b.Error(e) }}
		bed.must(&fsm.OpenClient{Bot: bedBot, Session: fsm.ClientSession{SID: w.sid, Key: "many", Shards: 1, Node: bed.nodes[0].self, Conn: 1, Until: 1 << 60}})
		f.add(w)
	}
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		bed.emit(discord.EventTypingStart, guildID(0), []byte(`{}`))
		for {
			f.mu.Lock()
			wake, next := f.wake, f.next
			f.mu.Unlock()
			last := uint64(0)
			bed.nodes[0].ViewState(func(st *fsm.State) { last = st.Bot(bedBot).LastPos })
			if next > last {
				break
			}
			<-wake
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/event")
}
