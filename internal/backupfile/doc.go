// Package backupfile is the format of a backup: a header that says what is in
// it, and a payload of which every byte is checked.
//
// A file is the magic and the format's version, the header with its length
// before it and its checksum behind it, the payload in chunks with their lengths
// and checksums, and an end mark with the payload's size and the checksum of all
// before it. Nothing may follow. So a file that was cut off at any byte, or of
// which any bit was flipped, is found out; a checksum is no defence against
// forgery, which is what Seal is for.
//
// The package knows nothing of the payload. It refuses to hand out the end of
// one that isn't whole: Reader returns io.EOF only once everything held.
package backupfile

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/zeebo/xxh3"
)

// Format is the version of the format that this package writes.
const Format = 1

const (
	magic = "BNBACKUP"
	// maxHeader bounds what is believed of a header's length.
	maxHeader = 1 << 20
	// chunkSize is how a payload is cut.
	chunkSize = 256 << 10
	// None is the Encryption of a header whose payload is in clear.
	None = "none"
)

// Header says what is in a backup. It is in clear whatever the payload is.
type Header struct {
	Cluster    string    `json:"cluster"`
	Node       string    `json:"node"`    // that wrote the backup
	Version    string    `json:"version"` // of that node's program
	Created    time.Time `json:"created"` // by that node's clock
	Index      uint64    `json:"index"`   // of the last command in the state
	Term       uint64    `json:"term"`    // when the backup was taken
	Generation uint64    `json:"generation"`
	Digest     string    `json:"digest"` // of the state
	Counts     Counts    `json:"counts"`
	// Encryption is None, or the id of the key that the payload is sealed with.
	Encryption string `json:"encryption"`
}

// Counts tell how much is in the state.
type Counts struct {
	Bots        int `json:"bots"`
	Shards      int `json:"shards"`
	Guilds      int `json:"guilds"`
	Keys        int `json:"keys"`
	Unacked     int `json:"unacked"`
	DeadLetters int `json:"dead_letters"`
}

// Seal encrypts a payload. The zero Seal leaves it in clear.
type Seal struct {
	KeyID string
	// Wrap returns what the payload is written to, in clear. Closing it ends the
	// payload and leaves to open. header is to be authenticated with the payload.
	Wrap func(to io.Writer, header []byte) (io.WriteCloser, error)
}

// Unseal is the other half of Seal: it returns the payload in clear. It is
// called for files with a key id in their header.
type Unseal func(keyID string, from io.Reader, header []byte) (io.Reader, error)

// Errors of a file.
var (
	// ErrNotBackup means that the file is something else.
	ErrNotBackup = errors.New("not a backup")
	// ErrFormat means that the file is of a format that this version doesn't read.
	ErrFormat = errors.New("a backup of a newer format")
	// ErrDamaged means that bytes are missing or aren't those that were written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrSealed means that the payload is encrypted and there is no key for it.
	ErrSealed = errors.New("the backup is encrypted")
)

var order = binary.LittleEndian

// chunkSum is the checksum of one chunk; its number keeps chunks in their order.
func chunkSum(number uint64, chunk []byte) uint64 { return xxh3.HashSeed(chunk, number) }
