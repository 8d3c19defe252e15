package membership

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zeebo/xxh3"
)

// The names of the files in the data directory.
const (
	identityFile = "node.json"
	lockFile     = "node.lock"
)

// identityFormat is raised when an old program must not touch the file.
const identityFormat = 1

// maxIDLen keeps memberlist's names and the transport's headers in bounds.
const maxIDLen = 100

// Errors of the data directory. Their text says what to do.
var (
	// ErrDirInUse means that another process holds the directory.
	ErrDirInUse = errors.New("the data directory is in use by another process: stop it, or start this node with another --data-dir")
	// ErrOtherNode means that the directory is another node's.
	ErrOtherNode = errors.New("the data directory belongs to another node: start with its --id, or with another --data-dir")
	// ErrOtherCluster means that the directory is in another cluster.
	ErrOtherCluster = errors.New("the data directory belongs to another cluster: remove the node there first, then start it with an empty --data-dir")
	// ErrCorruptIdentity means that node.json can't be read. It is never
	// overwritten: a node that forgot who it was could vote twice.
	ErrCorruptIdentity = errors.New("node.json is damaged or of a newer version: restore it from a backup, or remove the node from the cluster and start it with an empty --data-dir")
	// ErrJoining means that a join was begun and may have succeeded.
	ErrJoining = errors.New("this node is marked as joining another: finish or repeat that `botnode join`, or start with an empty --data-dir")
	// ErrAlreadyMember means that there is nothing to join or to bootstrap.
	ErrAlreadyMember = errors.New("this node already belongs to a cluster: to move it, `botnode leave` first and start with an empty --data-dir")
	// ErrDiverged is returned for the directory of a node whose state differed from
	// the majority's.
	ErrDiverged = errors.New("this node's state differed from the majority's: keep this --data-dir for a report, " +
		"start the node with an empty one, and let it join again")
	// ErrBadID is returned for an id that can't be a node's.
	ErrBadID = errors.New("a node id has 1 to 100 letters, digits, dots, dashes or underscores: choose another --id")
)

// record is what node.json holds.
type record struct {
	Format      int    `json:"format"`
	NodeID      string `json:"node_id"`
	ClusterID   string `json:"cluster_id,omitempty"`    // set once, by Adopt
	Bootstrap   string `json:"bootstrapping,omitempty"` // a cluster id that Bootstrap chose and Adopt hasn't confirmed
	Joining     string `json:"joining,omitempty"`       // address; ClusterID and Bootstrap are empty then
	AwaitsVote  bool   `json:"awaits_vote,omitempty"`   // it was admitted, and isn't a voter yet
	Incarnation uint64 `json:"incarnation"`             // the highest ever given out
	Diverged    string `json:"diverged,omitempty"`      // why the node must not start any more
	Sum         string `json:"sum,omitempty"`           // of the rest; older versions wrote none
}

// Identity is the data directory's word on which node and which cluster it
// belongs to. Every change is on disk, synced, before the method returns. The
// directory stays locked until Close.
type Identity struct {
	place place
	now   func() time.Time

	mu  sync.Mutex // guards rec, and the place
	rec record
}

// place keeps the encoded record.
type place interface {
	// read returns os.ErrNotExist where nothing was ever written.
	read() ([]byte, error)
	// write makes b durable before it returns.
	write(b []byte) error
	close() error
}

// OpenIdentity locks the directory, creating it if need be, and reads or writes
// its identity file.
func OpenIdentity(dir, id string) (*Identity, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrBadID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockDir(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	i := &Identity{place: &directory{dir: dir, lock: lock}, now: time.Now}
	if err := i.load(id); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), lock.Close())
	}
	return i, nil
}

// ErrNoIdentity means that no node has ever run on a directory.
var ErrNoIdentity = errors.New("the data directory is no node's: name that of the node with --data-dir")

// OpenExisting is OpenIdentity for a directory of whatever node it is.
func OpenExisting(dir string) (*Identity, error) {
	b, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoIdentity)
	}
	if err != nil {
		return nil, err
	}
	rec, err := decodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return OpenIdentity(dir, rec.NodeID)
}

// OpenMemory is OpenIdentity on memory in place of a directory.
func OpenMemory(m *Memory, id string) (*Identity, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrBadID)
	}
	i := &Identity{place: m, now: time.Now}
	return i, i.load(id)
}

// ValidID accepts node ids: names that are safe in addresses, paths, labels and URLs.
func ValidID(id string) bool {
	for _, r := range id {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			return false
		}
	}
	return id != "" && len(id) <= maxIDLen
}

func (i *Identity) load(id string) error {
	b, err := i.place.read()
	if errors.Is(err, os.ErrNotExist) {
		return i.store(record{Format: identityFormat, NodeID: id})
	}
	if err != nil {
		return err
	}
	rec, err := decodeRecord(b)
	if err != nil {
		return err
	}
	if rec.NodeID != id {
		return fmt.Errorf("%w (it is %q, this is %q)", ErrOtherNode, rec.NodeID, id)
	}
	if rec.Diverged != "" {
		return fmt.Errorf("%w (%s)", ErrDiverged, rec.Diverged)
	}
	i.rec = rec
	return nil
}

// MarkDiverged notes that the directory holds a state that differs from the
// cluster's: it can't be opened any more.
func (i *Identity) MarkDiverged(why string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	rec := i.rec
	rec.Diverged = why
	return i.store(rec)
}

func decodeRecord(b []byte) (record, error) {
	var rec record
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a name that was damaged
	if err := d.Decode(&rec); err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrCorruptIdentity, err)
	}
	if rec.Sum != "" && rec.Sum != rec.sum() {
		return record{}, fmt.Errorf("%w: its checksum is wrong", ErrCorruptIdentity)
	}
	marks := 0
	for _, s := range [...]string{rec.ClusterID, rec.Bootstrap, rec.Joining} {
		if s != "" {
			marks++
		}
	}
	if rec.Format != identityFormat || !ValidID(rec.NodeID) || marks > 1 {
		return record{}, ErrCorruptIdentity
	}
	return rec, nil
}

// sum returns the checksum of all other fields.
func (rec record) sum() string {
	rec.Sum = ""
	b, _ := json.Marshal(rec) // nothing in it can't be
	s := xxh3.Hash128(b).Bytes()
	return hex.EncodeToString(s[:])
}

// store makes rec durable, then current.
func (i *Identity) store(rec record) error {
	rec.Sum = rec.sum()
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	if err := i.place.write(append(b, '\n')); err != nil {
		return fmt.Errorf("%s: %w", identityFile, err)
	}
	i.rec = rec
	return nil
}

// Close gives the directory free.
func (i *Identity) Close() error { return i.place.close() }

// ID returns the node's id.
func (i *Identity) ID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.NodeID
}

// ClusterID returns the cluster that the node belongs to, "" while none.
func (i *Identity) ClusterID() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.ClusterID
}

// Joining returns the address under the "joining" mark, or "".
func (i *Identity) Joining() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.Joining
}

// Pristine reports whether the node belongs to no cluster and has begun nothing.
func (i *Identity) Pristine() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.ClusterID == "" && i.rec.Joining == "" && i.rec.Bootstrap == ""
}

// NextIncarnation returns the number of this start of the node: higher than any
// before, and by the clock also higher than those of a directory that was lost.
func (i *Identity) NextIncarnation() (uint64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	rec := i.rec
	rec.Incarnation = max(rec.Incarnation+1, uint64(max(0, i.now().UnixMicro())))
	return rec.Incarnation, i.store(rec)
}

// MarkJoining notes, before the first word to peer, that this node may be about
// to become part of peer's cluster. Until ClearJoining or Adopt it can't be
// bootstrapped: two nodes that join each other would else each found a cluster.
func (i *Identity) MarkJoining(peer string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rec.ClusterID != "" || i.rec.Bootstrap != "" {
		return ErrAlreadyMember
	}
	if peer == "" {
		return errors.New("joining: the peer's address is missing")
	}
	rec := i.rec
	rec.Joining = peer
	return i.store(rec)
}

// ClearJoining takes the mark back. Only after a clear refusal: when the outcome
// is unknown the peer's cluster may count on this node.
func (i *Identity) ClearJoining() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rec.Joining == "" {
		return nil
	}
	rec := i.rec
	rec.Joining = ""
	return i.store(rec)
}

// Bootstrap chooses the id of a new cluster and notes it. The caller then makes
// this node the cluster's first, and calls Adopt with the id; after a crash in
// between, Bootstrap returns the same id again. For a node that already belongs
// to a cluster it returns that one and done.
func (i *Identity) Bootstrap() (clusterID string, done bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.rec.ClusterID != "":
		return i.rec.ClusterID, true, nil
	case i.rec.Joining != "":
		return "", false, fmt.Errorf("%w (%s)", ErrJoining, i.rec.Joining)
	case i.rec.Bootstrap != "":
		return i.rec.Bootstrap, false, nil
	}
	rec := i.rec
	rec.Bootstrap = NewClusterID()
	return rec.Bootstrap, false, i.store(rec)
}

// Adopt makes the node a member of the cluster, for good, and clears the marks.
func (i *Identity) Adopt(clusterID string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case clusterID == "":
		return errors.New("adopt: the cluster id is empty")
	case i.rec.ClusterID == clusterID:
		return nil
	case i.rec.ClusterID != "":
		return fmt.Errorf("%w (it is %s, not %s)", ErrOtherCluster, i.rec.ClusterID, clusterID)
	case i.rec.Bootstrap != "" && i.rec.Bootstrap != clusterID:
		return fmt.Errorf("%w (it founded %s, not %s)", ErrOtherCluster, i.rec.Bootstrap, clusterID)
	}
	rec := i.rec
	rec.AwaitsVote = rec.Joining != ""
	rec.ClusterID, rec.Bootstrap, rec.Joining = clusterID, "", ""
	return i.store(rec)
}

// Recover makes the node one of a new cluster, which was made out of what is left
// of its own.
func (i *Identity) Recover(clusterID string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rec.ClusterID == clusterID {
		return nil
	}
	rec := i.rec
	rec.ClusterID, rec.Bootstrap, rec.Joining, rec.AwaitsVote = clusterID, "", "", false
	return i.store(rec)
}

// NewClusterID draws the id of a cluster.
func NewClusterID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// AwaitsVote reports whether the node was admitted to its cluster and has not
// become a voter yet. A join that is cut off there would leave a node that
// looks like a member and counts for no quorum.
func (i *Identity) AwaitsVote() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rec.AwaitsVote
}

// Voted notes that the node has become a voter: its join is complete.
func (i *Identity) Voted() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.rec.AwaitsVote {
		return nil
	}
	rec := i.rec
	rec.AwaitsVote = false
	return i.store(rec)
}
