// Package transport carries everything that nodes of one cluster say to each
// other over a single port number: a TCP listener whose connections begin with
// a header (raft streams, gossip streams, rpc), and a UDP socket for gossip.
//
// The header is a handshake: magic, protocol version, kind, cluster id and the
// identity (id and incarnation) of both ends. A node of another cluster, of
// another protocol version, or a second process that uses an id that is already
// in use is refused with an error that says so, on both ends.
//
// The package also watches peers. Its listener lives exactly as long as the
// process, so a link that breaks and whose redial is refused is the proof that
// the peer's process is gone; see LinkEvent. For the same reason Close tells
// every peer that this process is dead: call it last.
//
// It refuses to listen beyond loopback without TLS unless told to, and it does
// not retry calls: whether a call may be repeated is known to the caller alone.
// It knows nothing of raft, of membership or of what the messages mean.
package transport
