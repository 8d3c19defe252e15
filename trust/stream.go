package trust

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// BackupKey is the key of one epoch that snapshots and backups are encrypted
// with.
type BackupKey struct {
	Epoch uint64
	Key   [KeySize]byte
}

const backupKeyPrefix = "bnbackup"

// Text is the form in which operators keep the key.
func (k BackupKey) Text() string {
	return fmt.Sprintf("%s.%d.%s", backupKeyPrefix, k.Epoch, base64.RawURLEncoding.EncodeToString(k.Key[:]))
}

// String hides the key from logs.
func (k BackupKey) String() string { return fmt.Sprintf("backup key of epoch %d", k.Epoch) }

// GoString hides the key from logs.
func (k BackupKey) GoString() string { return k.String() }

// ParseBackupKey reads what Text writes.
func ParseBackupKey(text string) (BackupKey, error) {
	var k BackupKey
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 || parts[0] != backupKeyPrefix {
		return k, errors.New("not a backup key: `botnode tls backup-key` prints one")
	}
	epoch, err := strconv.ParseUint(parts[1], 10, 64)
	key, keyErr := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || keyErr != nil || epoch == 0 || len(key) != KeySize {
		return k, errors.New("a backup key that is cut off or changed")
	}
	k.Epoch = epoch
	copy(k.Key[:], key)
	return k, nil
}

// An encrypted stream:
//
//	magic[8] version[1] epoch[8] salt[32] | chunks: length[4] (the top bit marks the last) sealed[length]
//
// Each chunk is sealed with AES-256-GCM under a key that derives from the backup
// key and the salt. Its nonce is its number; the head and whether it is the last
// are authenticated with it. So chunks can't be exchanged, left out, or cut off
// at the end without being noticed.
const (
	streamMagic   = "botncryp"
	streamVersion = 1
	streamHead    = len(streamMagic) + 1 + 8 + 32
	streamChunk   = 64 << 10
	lastChunk     = 1 << 31
)

// purposeStream keys one stream.
const purposeStream = "botnode stream"

// NewWriter encrypts what is written to it. about is authenticated with it and
// stands elsewhere, as a file's header does; it may be nil. Close ends the stream: without it a
// reader reports that the end is missing. It doesn't close w.
func NewWriter(w io.Writer, k BackupKey, about []byte) (io.WriteCloser, error) {
	head := make([]byte, 0, streamHead)
	head = append(head, streamMagic...)
	head = append(head, streamVersion)
	head = binary.BigEndian.AppendUint64(head, k.Epoch)
	head = head[:streamHead]
	_, _ = rand.Read(head[streamHead-32:]) // never fails
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	return &streamWriter{w: w, box: newStreamBox(k, head, about), buf: make([]byte, 0, streamChunk)}, nil
}

// streamBox seals and opens the chunks of one stream.
type streamBox struct {
	gcm  cipher.AEAD
	head []byte // and the hash of what the stream is about
	n    uint64 // chunks so far
}

func newStreamBox(k BackupKey, head, about []byte) streamBox {
	sum := sha256.Sum256(about)
	return streamBox{gcm: newGCM(derive(k.Key[:], head[streamHead-32:], purposeStream)), head: append(bytes.Clone(head), sum[:]...)}
}

// next returns the nonce and the additional data of the next chunk.
func (b *streamBox) next(last bool) (nonce, data []byte) {
	nonce = make([]byte, b.gcm.NonceSize())
	binary.BigEndian.PutUint64(nonce[len(nonce)-8:], b.n)
	b.n++
	data = append(bytes.Clone(b.head), 0)
	if last {
		data[len(data)-1] = 1
	}
	return nonce, data
}

type streamWriter struct {
	w    io.Writer
	box  streamBox
	buf  []byte
	out  []byte
	err  error
	done bool
}

// Write implements io.Writer.
func (s *streamWriter) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 && s.err == nil {
		if len(s.buf) == streamChunk {
			s.flush(false)
		}
		n := min(len(b), streamChunk-len(s.buf))
		s.buf = append(s.buf, b[:n]...)
		b = b[n:]
		written += n
	}
	return written, s.err
}

func (s *streamWriter) flush(last bool) {
	if s.err != nil {
		return
	}
	nonce, data := s.box.next(last)
	size := uint32(len(s.buf) + s.box.gcm.Overhead()) //nolint:gosec // at most streamChunk
	if last {
		size |= lastChunk
	}
	s.out = binary.BigEndian.AppendUint32(s.out[:0], size)
	s.out = s.box.gcm.Seal(s.out, nonce, s.buf, data)
	s.buf = s.buf[:0]
	_, s.err = s.w.Write(s.out)
}

// Close writes the last chunk.
func (s *streamWriter) Close() error {
	if !s.done {
		s.done = true
		s.flush(true)
	}
	return s.err
}

// Errors of encrypted streams.
var (
	// ErrNoKey is returned for a stream of an epoch whose key isn't at hand.
	ErrNoKey = errors.New("encrypted with a key that isn't at hand")
	// ErrDamaged is returned for a stream that was changed or cut off.
	ErrDamaged = errors.New("the encrypted data is damaged, or ends too soon")
)

// StreamEpoch looks whether an encrypted stream begins in r, and of which epoch
// its key is. It takes nothing out of r.
func StreamEpoch(r *bufio.Reader) (epoch uint64, encrypted bool) {
	b, err := r.Peek(streamHead)
	if err != nil || string(b[:len(streamMagic)]) != streamMagic {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[len(streamMagic)+1:]), true
}

// NewReader decrypts a stream; key finds the key of an epoch, and about is what
// the writer was given. What Read returns
// is authentic, chunk by chunk; that nothing is missing at the end is certain
// only once it returned io.EOF.
func NewReader(r io.Reader, key func(epoch uint64) (BackupKey, bool), about []byte) (io.Reader, error) {
	head := make([]byte, streamHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return nil, fmt.Errorf("%w: not an encrypted stream", ErrDamaged)
	}
	if v := head[len(streamMagic)]; v != streamVersion {
		return nil, fmt.Errorf("an encrypted stream of format %d; this version reads format %d", v, streamVersion)
	}
	epoch := binary.BigEndian.Uint64(head[len(streamMagic)+1:])
	k, ok := key(epoch)
	if !ok {
		return nil, fmt.Errorf("%w (epoch %d)", ErrNoKey, epoch)
	}
	return &streamReader{r: r, box: newStreamBox(k, head, about)}, nil
}

type streamReader struct {
	r    io.Reader
	box  streamBox
	in   []byte
	out  []byte // decrypted, not read yet
	last bool
	err  error
}

// Read implements io.Reader.
func (s *streamReader) Read(b []byte) (int, error) {
	for len(s.out) == 0 && s.err == nil {
		s.err = s.fill()
	}
	if len(s.out) == 0 {
		return 0, s.err
	}
	n := copy(b, s.out)
	s.out = s.out[n:]
	return n, nil
}

func (s *streamReader) fill() error {
	if s.last {
		return io.EOF
	}
	var size [4]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return cutOff(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	s.last = n&lastChunk != 0
	n &^= lastChunk
	if n < uint32(s.box.gcm.Overhead()) || n > uint32(streamChunk+s.box.gcm.Overhead()) { //nolint:gosec // constants
		return ErrDamaged
	}
	if cap(s.in) < int(n) {
		s.in = make([]byte, streamChunk+s.box.gcm.Overhead())
	}
	s.in = s.in[:n]
	if _, err := io.ReadFull(s.r, s.in); err != nil {
		return cutOff(err)
	}
	nonce, data := s.box.next(s.last)
	out, err := s.box.gcm.Open(s.in[:0], nonce, s.in, data)
	if err != nil {
		return ErrDamaged
	}
	s.out = out
	if s.last {
		return trailing(s.r)
	}
	return nil
}

// cutOff says that a stream ended before its last chunk.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDamaged
	}
	return err
}

// trailing reports bytes behind the last chunk.
func trailing(r io.Reader) error {
	var b [1]byte
	switch n, err := r.Read(b[:]); {
	case n > 0:
		return fmt.Errorf("%w: bytes behind its end", ErrDamaged)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
