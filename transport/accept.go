package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
)

// acceptLoop accepts until Close.
func (t *Transport) acceptLoop() {
	for {
		c, err := t.tcp.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			// Out of descriptors, most likely: wait for some to be closed.
			t.log.Warn("cluster port can't accept", zap.String("code", "cluster-accept"), zap.Error(err))
			if !sleep(t.ctx, 50*time.Millisecond) {
				return
			}
			continue
		}
		t.accepted(c)
	}
}

// accepted serves one connection on its own goroutine.
func (t *Transport) accepted(c net.Conn) {
	if t.inbound.Add(1) > maxInbound || !t.track(c) {
		t.inbound.Add(-1)
		_ = c.Close()
		return
	}
	if !t.spawn(func() { t.welcome(c) }) {
		t.drop(c)
	}
}

// drop closes an accepted connection that didn't become a Conn.
func (t *Transport) drop(c net.Conn) {
	t.inbound.Add(-1)
	t.untrack(c)
	_ = c.Close()
}

// welcome does the accepting side's handshake and hands the connection on.
func (t *Transport) welcome(raw net.Conn) {
	conn, k, err := t.handshake(raw)
	if err != nil {
		t.drop(raw)
		t.logRefused(raw, err)
		return
	}
	switch k {
	case kindRaft:
		t.raft.deliver(t.ctx, conn)
	case kindGossip:
		t.gossip.deliver(t.ctx, conn)
	case kindStranger:
		t.serveStranger(conn)
	default:
		t.serveRPC(conn)
	}
}

// logRefused warns about what an operator should know of and keeps quiet about
// connections that merely ended (a peer's death, a port check). Whoever is refused
// tries again at once: it is told once a minute.
func (t *Transport) logRefused(c net.Conn, err error) {
	fields := []zap.Field{zap.Stringer("remote", c.RemoteAddr()), zap.Error(err)}
	if cause, refused := errors.AsType[*RefusedError](err); refused && t.refusals.tell("from "+remoteHost(c)+" "+cause.text(), time.Now()) {
		t.log.Warn("cluster connection refused", append(fields, zap.String("code", "cluster-refused"))...)
		return
	}
	t.log.Debug("cluster connection ended in handshake", fields...)
}

// handshake reads the hello, judges it, and answers.
func (t *Transport) handshake(raw net.Conn) (*Conn, kind, error) {
	if err := raw.SetDeadline(time.Now().Add(acceptTimeout)); err != nil {
		return nil, 0, err
	}
	host := remoteHost(raw)
	if !t.greeting.enter(host, maxGreetings) {
		return nil, 0, errTooManyGreetings
	}
	defer t.greeting.leave(host)
	wrapped := t.wrapServer(raw)
	h, err := readHeader(wrapped)
	if err != nil {
		return nil, 0, t.asForeign(raw, err)
	}
	release, answer, note := t.decide(wrapped, h)
	if _, err := wrapped.Write(t.header(answer, note).append(nil)); err != nil {
		release()
		return nil, 0, err
	}
	if answer != answerOK {
		return nil, 0, &RefusedError{Reason: answer.reason(), Addr: raw.RemoteAddr().String(), Message: note}
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		release()
		return nil, 0, err
	}
	conn := t.newConn(wrapped, raw, Peer{ID: h.id, Incarnation: h.incarnation, Addr: h.addr}, func() {
		t.inbound.Add(-1)
		release()
	})
	return conn, h.kind, nil
}

// newConn ties release and the tracking of raw to the connection's Close.
func (t *Transport) newConn(wrapped, raw net.Conn, p Peer, release func()) *Conn {
	return &Conn{Conn: wrapped, peer: p, release: func() {
		t.untrack(raw)
		release()
	}}
}

// header builds what this node says in a handshake.
func (t *Transport) header(k kind, note string) header {
	self := t.self()
	return header{
		version: protocolVersion, kind: k, incarnation: self.Incarnation,
		cluster: t.opts.ClusterID(), id: self.ID, addr: self.Addr, note: note,
	}
}

// asForeign names what spoke in a foreign tongue, and tells it so if it can
// understand that.
func (t *Transport) asForeign(raw net.Conn, err error) error {
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case noTLS || errors.Is(err, errTLS):
		return t.refusePlainly(raw, err)
	case errors.Is(err, errMagic):
		return &RefusedError{Reason: ErrNotPeer, Addr: raw.RemoteAddr().String(), Message: err.Error()}
	}
	return err
}

// decide answers a hello. Who isn't believed learns nothing of this node's
// cluster. release is never nil.
func (t *Transport) decide(c net.Conn, h header) (release func(), answer kind, note string) {
	release = func() {}
	if h.version == protocolVersion {
		if answer, note = t.proven(c, h); answer != answerOK {
			return release, answer, note
		}
	}
	if answer, note = t.judge(h); answer != answerOK || h.kind == kindStranger {
		return release, answer, note
	}
	registered, answer, note := t.register(h)
	if registered != nil {
		release = registered
	}
	return release, answer, note
}

// judge decides on a hello without looking at other connections.
func (t *Transport) judge(h header) (kind, string) {
	mine := t.opts.ClusterID()
	switch {
	case h.version != protocolVersion:
		return answerVersion, fmt.Sprintf("%s speaks version %d, the caller %d: upgrade the older node", t.opts.ID, protocolVersion, h.version)
	case h.kind == kindStranger && t.opts.OnStranger == nil:
		return answerRefused, t.opts.ID + " speaks no TLS to other nodes: join it without a join token"
	case h.kind < kindRPC || h.kind > kindStranger:
		return answerRefused, fmt.Sprintf("%s doesn't serve %s", t.opts.ID, h.kind)
	case h.id == "":
		return answerRefused, "the caller's node id is empty"
	case !sameCluster(h.kind, h.cluster, mine):
		if t.opts.Former != nil {
			if became := t.opts.Former(h.cluster); became != "" {
				return answerCluster, became
			}
		}
		return answerCluster, fmt.Sprintf("%s belongs to %s, the caller %s to %s", t.opts.ID, clusterName(mine), h.id, clusterName(h.cluster))
	case h.id == t.opts.ID && h.incarnation != t.opts.Incarnation:
		return answerDuplicate, fmt.Sprintf("%s at %s already uses the id %q: start the other node with another --id", t.opts.ID, t.addr, h.id)
	}
	return answerOK, ""
}

// sameCluster says whether ends that belong to clusters a and b may speak. A
// node of no cluster yet may call and be called, or it could never join; raft
// and gossip are for those inside, so that a node whose directory was wiped
// isn't fed the log under its old address.
func sameCluster(k kind, a, b string) bool {
	if (k == kindRPC || k == kindStranger) && (a == "" || b == "") {
		return true
	}
	return a == b
}

func clusterName(id string) string {
	if id == "" {
		return "no cluster"
	}
	return "cluster " + id
}

// register judges a hello against the connections at hand. An older incarnation
// that is connected from another address is asked whether it still lives: if it
// does, two processes share the id.
func (t *Transport) register(h header) (func(), kind, string) {
	p := Peer{ID: h.id, Incarnation: h.incarnation, Addr: h.addr}
	release, known, v := t.peers.admit(p, false)
	if v == doubtful {
		ctx, cancel := context.WithTimeout(t.ctx, 500*time.Millisecond)
		defer cancel()
		if found, err := t.Probe(ctx, known.Addr); err == nil && found == known {
			return nil, answerDuplicate, fmt.Sprintf("%q also runs at %s: start one of the two with another --id", h.id, known.Addr)
		}
		release, known, v = t.peers.admit(p, true)
	}
	if v == stale {
		return nil, answerStale, fmt.Sprintf("%q runs at %s with incarnation %d, the caller has %d", h.id, known.Addr, known.Incarnation, p.Incarnation)
	}
	t.calledBy(p)
	return release, answerOK, ""
}
