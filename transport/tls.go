package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// Credentials are what this node proves itself with, and how it judges others.
// They are asked at each connection, so that keys may be renewed meanwhile.
type Credentials interface {
	// Certificate returns the node's own, with its chain; an error while it has none.
	Certificate() (*tls.Certificate, error)
	// Verify returns the id of the node that a chain is made out to. Its error
	// says why the node isn't believed; chain may be empty.
	Verify(chain []*x509.Certificate) (id string, err error)
}

// secure is a connection under TLS. The certificates are judged after the
// handshake, not in it: a node that is refused is told why in words rather than
// by an alert.
type secure struct {
	*tls.Conn
	raw net.Conn
}

// Close drops the connection without TLS's farewell, which could wait for a peer
// that doesn't read.
func (s *secure) Close() error { return s.raw.Close() }

// baseTLS is common to both ends.
func baseTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, NextProtos: []string{"botnode/1"}}
}

// wrapServer puts TLS over an accepted connection if the node has credentials.
func (t *Transport) wrapServer(raw net.Conn) net.Conn {
	cred := t.opts.Credentials
	if cred == nil {
		return raw
	}
	cfg := baseTLS()
	cfg.ClientAuth = tls.RequestClientCert
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cred.Certificate() }
	return &secure{Conn: tls.Server(raw, cfg), raw: raw}
}

// wrapClient puts TLS over a dialled connection if the node has credentials, and
// returns the id of the node that answers, "" without TLS.
func (t *Transport) wrapClient(ctx context.Context, raw net.Conn, addr string) (net.Conn, string, error) {
	cred := t.opts.Credentials
	if cred == nil {
		return raw, "", nil
	}
	own, err := cred.Certificate()
	if err != nil {
		return nil, "", err
	}
	cfg := baseTLS()
	cfg.Certificates = []tls.Certificate{*own}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	var id string
	wrapped, err := dialTLS(ctx, raw, addr, cfg, func(chain []*x509.Certificate) error {
		var err error
		id, err = t.believe(raw, chain)
		return err
	})
	return wrapped, id, err
}

// believe judges the chain that the other end of a connection shows. It notes the
// chain before it asks, so that a node which is refused a moment later is found
// by CloseRefused.
func (t *Transport) believe(raw net.Conn, chain []*x509.Certificate) (id string, err error) {
	t.mu.Lock()
	if _, open := t.conns[raw]; open {
		t.conns[raw] = chain
	}
	t.mu.Unlock()
	return t.opts.Credentials.Verify(chain)
}

// CloseRefused closes the connections, accepted or dialled, whose other end has
// shown a certificate that refused rejects: it was good when they began.
func (t *Transport) CloseRefused(refused func(leaf *x509.Certificate) bool) {
	t.mu.Lock()
	shown := make(map[net.Conn]*x509.Certificate)
	for c, chain := range t.conns {
		if len(chain) > 0 {
			shown[c] = chain[0]
		}
	}
	t.mu.Unlock()
	for c, leaf := range shown {
		if refused(leaf) {
			_ = c.Close()
		}
	}
}

// dialTLS does the dialling side's handshake and has verify judge who answers.
func dialTLS(ctx context.Context, raw net.Conn, addr string, cfg *tls.Config, verify func([]*x509.Certificate) error) (net.Conn, error) {
	cfg.InsecureSkipVerify = true //nolint:gosec // verify judges the chain below
	s := &secure{Conn: tls.Client(raw, cfg), raw: raw}
	if err := s.HandshakeContext(ctx); err != nil {
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			return nil, &RefusedError{Reason: ErrNotPeer, Addr: addr, Message: "it speaks no TLS, and this node does: " + samePlainly}
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
			return nil, &RefusedError{Reason: ErrUntrusted, Addr: addr, Message: "it ended the handshake (" + op.Err.Error() + "), as a node does that belongs to no cluster and has no certificate"}
		}
		return nil, err
	}
	if err := verify(s.ConnectionState().PeerCertificates); err != nil {
		return nil, &RefusedError{Reason: ErrUntrusted, Addr: addr, Message: err.Error()}
	}
	return s, nil
}

// samePlainly says what to do about nodes that differ in whether they use TLS.
const samePlainly = "all nodes of a cluster have TLS between them, or none has (--insecure, or addresses on loopback)"

// holder returns whose certificate an accepted connection showed.
func (t *Transport) holder(c net.Conn) (string, error) {
	s, ok := c.(*secure)
	if !ok {
		return "", nil
	}
	return t.believe(s.raw, s.ConnectionState().PeerCertificates)
}

// proven checks that a hello is of the node that the certificate is made out to.
// A stranger has none yet.
func (t *Transport) proven(c net.Conn, h header) (kind, string) {
	if t.opts.Credentials == nil || h.kind == kindStranger {
		return answerOK, ""
	}
	switch id, err := t.holder(c); {
	case err != nil:
		return answerUntrusted, fmt.Sprintf("%s doesn't believe %s: %v", t.opts.ID, h.id, err)
	case id != h.id:
		return answerUntrusted, fmt.Sprintf("the certificate is of node %s, the caller says that it is %s", id, h.id)
	}
	return answerOK, ""
}

// refusePlainly answers, without TLS, a caller that differs in whether it uses
// TLS: it can read that much.
func (t *Transport) refusePlainly(raw net.Conn, cause error) error {
	message := "the caller speaks no TLS, and this node does: " + samePlainly
	if errors.Is(cause, errTLS) {
		message = "the caller speaks TLS, and this node doesn't: " + samePlainly
	}
	_, _ = raw.Write(t.header(answerRefused, t.opts.ID+": "+message).append(nil))
	return &RefusedError{Reason: ErrNotPeer, Addr: raw.RemoteAddr().String(), Message: message}
}
