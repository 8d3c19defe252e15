package fsm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/zeebo/xxh3"

	"github.com/botnode/botnode/cache"
)

// ReadSnapshot builds a state from a snapshot, and verifies its checksum, its
// digest, and that nothing follows it. What it allocates is in proportion to
// what it has read.
func ReadSnapshot(from io.Reader) (*State, uint64, error) { return ReadSnapshotWithin(from, nil) }

// ReadSnapshotWithin is ReadSnapshot for what may come from anybody: a small file
// may unpack to any number of bytes. room is asked every roomEvery of them whether
// to go on, with how many there were; its error is returned as it is.
func ReadSnapshotWithin(from io.Reader, room func(unpacked int64) error) (*State, uint64, error) {
	if err := readMagic(from); err != nil {
		return nil, 0, err
	}
	m := &meter{from: s2.NewReader(from, s2.ReaderAllocBlock(64<<10)), room: room}
	l := &loader{
		sectionReader: sectionReader{r: bufio.NewReaderSize(m, 64<<10), hash: xxh3.New()},
		s:             NewState(),
	}
	for !l.over {
		sum := l.hash.Sum128().Bytes()
		id := l.byte()
		if l.err == nil {
			l.section(id, sum[:])
		}
		if m.err != nil {
			return nil, 0, m.err
		}
		if l.err != nil {
			return nil, 0, l.err
		}
	}
	if l.s.Rules > KnownRules {
		return nil, 0, &NewerRulesError{Rules: l.s.Rules}
	}
	if l.s.Digest() != l.digest {
		return nil, 0, fmt.Errorf("%w: the snapshot's digest is wrong", ErrMalformed)
	}
	return l.s, l.index, nil
}

// roomEvery is how many bytes are unpacked between two questions for room.
const roomEvery = 4 << 20

// meter counts what is unpacked and asks for room. The first refusal sticks.
type meter struct {
	from        io.Reader
	room        func(int64) error // nil: there is enough
	read, asked int64
	err         error
}

// Read implements io.Reader.
func (m *meter) Read(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	n, err := m.from.Read(b)
	m.read += int64(n)
	if m.room != nil && m.read-m.asked >= roomEvery {
		m.asked = m.read
		m.err = m.room(m.read)
	}
	return n, err
}

func readMagic(from io.Reader) error {
	magic := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(from, magic); err != nil {
		return fmt.Errorf("%w: not a snapshot: %w", ErrMalformed, err)
	}
	if string(magic[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w: not a snapshot", ErrMalformed)
	}
	if v := magic[len(snapshotMagic)]; v != snapshotVersion {
		return fmt.Errorf("%w: a snapshot of format %d; this version reads format %d", ErrMalformed, v, snapshotVersion)
	}
	return nil
}

// loader fills a state with the sections of a snapshot.
type loader struct {
	sectionReader
	s      *State
	index  uint64
	digest Digest
	begun  bool // the head was read
	over   bool // the end was read
}

// section reads one section; sum is the checksum of all before it.
func (l *loader) section(id byte, sum []byte) {
	if (id == sectionSmall) == l.begun {
		l.fail("a head that isn't first")
		return
	}
	switch id {
	case sectionSmall:
		l.begun = true
		l.head()
	case sectionPending, sectionRetained, sectionDead:
		l.each(func(r *reader) error { return l.s.loadEntry(id, r) })
	case sectionKV:
		l.each(l.s.loadItem)
	case sectionInteractions:
		l.each(l.s.loadInteraction)
	case sectionCache:
		l.caches()
	case sectionEnd:
		l.end(sum)
	default:
		l.fail("a section of an unknown kind")
	}
}

func (l *loader) head() {
	head, body := &reader{b: l.chunk()}, &reader{b: l.chunk()}
	l.index, l.digest.Hi, l.digest.Lo = head.uint(), head.uint(), head.uint()
	if head.end() != nil || l.chunk() != nil {
		l.fail("a head that is wrong")
		return
	}
	l.s.decodeSmall(body)
	if err := body.end(); err != nil && l.err == nil {
		l.err = err
	}
}

// caches reads the caches of one bot.
func (l *loader) caches() {
	b := l.s.bots[string(l.chunk())]
	if b == nil || l.err != nil {
		l.fail("caches of no bot")
		return
	}
	stream := &chunkReader{r: &l.sectionReader}
	in := bufio.NewReaderSize(stream, 64<<10)
	read, err := cache.Read(in, b.cache.Policies())
	if err != nil {
		l.fail("caches: " + err.Error())
		return
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		l.fail("bytes after the caches")
	}
	b.cache = read
}

func (l *loader) end(sum []byte) {
	if got := l.chunk(); l.err == nil && !bytes.Equal(got, sum) {
		l.fail("the snapshot's checksum is wrong")
	}
	if l.chunk() != nil {
		l.fail("a checksum that is too long")
	}
	if _, err := l.r.ReadByte(); l.err == nil && !errors.Is(err, io.EOF) {
		l.fail("bytes after the snapshot")
	}
	l.over = true
}

// loadEntry puts an entry of a snapshot where its section says.
func (s *State) loadEntry(section byte, r *reader) error {
	e := decodeEntry(r)
	b, sh, _ := s.shard(e.Bot, e.Shard)
	if sh == nil || r.err != nil {
		r.fail("an entry of no shard")
		return r.err
	}
	j := &b.journal
	switch section {
	case sectionRetained:
		if p, ok := sh.pending.Get(e.Pos); ok && bytes.Equal(p.Raw, e.Raw) && bytes.Equal(p.Before, e.Before) {
			e.Raw, e.Before = p.Raw, p.Before // once in memory, as before the snapshot
		}
		j.retained.Set(e.Pos, e)
		j.bytes += e.weight()
	case sectionDead:
		d := &DeadLetter{Entry: e, Err: r.string()}
		j.dead.Set(e.Pos, d)
		j.digest.add(d.digest())
	default:
		j.enlist(sh, e)
	}
	return nil
}

func (s *State) loadItem(r *reader) error {
	b := s.bots[r.string()]
	if b == nil {
		r.fail("a key of no bot")
		return r.err
	}
	key := r.string()
	item := KVItem{Version: r.uint(), Value: r.bytes(), Expires: r.int()}
	b.kv.put(key, item)
	return nil
}
