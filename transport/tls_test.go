package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testAuthority signs the certificates of one cluster of a test.
type testAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *testAuthority {
	t.Helper()
	a := &testAuthority{key: newKey(t)}
	a.cert = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, a.key, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, c, parent *x509.Certificate, of, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, of.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// testCredentials are those of one node.
type testCredentials struct {
	own     *tls.Certificate
	root    *x509.Certificate
	revoked atomic.Pointer[string]
}

// node makes the credentials of a node.
func (a *testAuthority) node(t *testing.T, id string) *testCredentials {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: id}}, a.cert, key, a.key)
	return &testCredentials{own: &tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}, root: a.cert}
}

func (c *testCredentials) Certificate() (*tls.Certificate, error) {
	if c.own == nil {
		return nil, errors.New("no certificate yet")
	}
	return c.own, nil
}

func (c *testCredentials) Verify(chain []*x509.Certificate) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("no certificate")
	}
	if err := chain[0].CheckSignatureFrom(c.root); err != nil {
		return "", errors.New("not of this cluster")
	}
	id := chain[0].Subject.CommonName
	if r := c.revoked.Load(); r != nil && *r == id {
		return "", errors.New("it was removed")
	}
	return id, nil
}

func with(c Credentials) func(*Options) { return func(o *Options) { o.Credentials = c } }

// refusal checks that an error is a refusal for a reason, in words.
func refusal(t *testing.T, what string, err, reason error, words string) {
	t.Helper()
	if !errors.Is(err, reason) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: got %v, want %v with %q", what, err, reason, words)
	}
}

func TestTLSWrapsBothEnds(t *testing.T) {
	ca := newAuthority(t)
	a, b := node(t, "a", with(ca.node(t, "a"))), node(t, "b", with(ca.node(t, "b")))
	plain := node(t, "plain", nil)
	b.Handle(mEcho, echo)
	if got, err := a.Call(testContext(t), b.Addr(), mEcho, []byte("x")); err != nil || string(got) != "a#1:x" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := plain.Probe(testContext(t), b.Addr())
	refusal(t, "a node without TLS", err, ErrRefused, "the caller speaks no TLS")
	_, err = a.Probe(testContext(t), plain.Addr())
	refusal(t, "a node with TLS at one without", err, ErrNotPeer, "speaks no TLS")
}

// TestNodesProveWhoTheyAre has nodes that show another cluster's certificate,
// another node's, none, or one that was revoked.
func TestNodesProveWhoTheyAre(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	mine := ca.node(t, "b")
	b := node(t, "b", with(mine))
	b.RaftLayer()
	stranger := node(t, "a", with(other.node(t, "a")))
	_, err := stranger.Probe(testContext(t), b.Addr())
	refusal(t, "the other end isn't of this cluster", err, ErrUntrusted, "not of this cluster")

	// One that believes b, whom b doesn't believe.
	gullible := other.node(t, "a")
	gullible.root = ca.cert
	_, err = node(t, "a", with(gullible)).Probe(testContext(t), b.Addr())
	refusal(t, "the caller isn't of this cluster", err, ErrUntrusted, "b doesn't believe a")

	liar := node(t, "a", with(ca.node(t, "c")))
	_, err = liar.Probe(testContext(t), b.Addr())
	refusal(t, "the certificate of another node", err, ErrUntrusted, "is of node c")
	_, err = liar.RaftLayer().Dial(b.Addr(), 5*time.Second)
	refusal(t, "the same for raft", err, ErrUntrusted, "is of node c")

	impostor := node(t, "d", with(ca.node(t, "e")))
	_, err = node(t, "f", with(ca.node(t, "f"))).Probe(testContext(t), impostor.Addr())
	refusal(t, "an answer under another name", err, ErrUntrusted, "is of node e")

	good := node(t, "g", with(ca.node(t, "g")))
	if _, err := good.Probe(testContext(t), b.Addr()); err != nil {
		t.Error(err)
	}
	id := "g"
	mine.revoked.Store(&id)
	_, err = good.Probe(testContext(t), b.Addr())
	refusal(t, "a node that was removed", err, ErrUntrusted, "it was removed")

	_, err = node(t, "h", with(&testCredentials{root: ca.cert})).Probe(testContext(t), b.Addr())
	if err == nil || !strings.Contains(err.Error(), "no certificate yet") {
		t.Errorf("a node without a certificate: %v", err)
	}
}

// TestCertificateIsWanted dials by hand: the hello of a node, without a certificate.
func TestCertificateIsWanted(t *testing.T) {
	b := node(t, "b", with(newAuthority(t).node(t, "b")))
	for _, k := range []kind{kindRPC, kindRaft, kindGossip} {
		cfg := baseTLS()
		cfg.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", b.Addr(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hello := header{version: protocolVersion, kind: k, incarnation: 1, cluster: "c1", id: "a"}
		if _, err := c.Write(hello.append(nil)); err != nil {
			t.Fatal(err)
		}
		if h, err := readHeader(c); err != nil || h.kind != answerUntrusted {
			t.Errorf("%s: got %v, %v", k, h, err)
		}
	}
}

func TestStrangersAskOnceAndNothingElse(t *testing.T) {
	ca := newAuthority(t)
	asked := make(chan string, 10)
	b := node(t, "b", func(o *Options) {
		o.Credentials = ca.node(t, "b")
		o.OnStranger = func(_ context.Context, from Peer, host string, req []byte) []byte {
			asked <- from.ID + "@" + host + ":" + string(req)
			return append([]byte("answer to "), req...)
		}
	})
	joiner := node(t, "j", with(&testCredentials{}))
	believe := func([]*x509.Certificate) error { return nil }
	got, err := joiner.AskAsStranger(testContext(t), b.Addr(), believe, []byte("x"))
	if err != nil || string(got) != "answer to x" || <-asked != "j@127.0.0.1:x" {
		t.Errorf("got %q, %v", got, err)
	}
	doubt := func([]*x509.Certificate) error { return errors.New("not the one") }
	_, err = joiner.AskAsStranger(testContext(t), b.Addr(), doubt, []byte("secret"))
	refusal(t, "an end that isn't believed", err, ErrUntrusted, "not the one")
	if len(asked) != 0 {
		t.Errorf("it was told %q", <-asked)
	}
	_, err = joiner.AskAsStranger(testContext(t), node(t, "p", nil).Addr(), believe, []byte("secret"))
	refusal(t, "a node without TLS", err, ErrNotPeer, "speaks no TLS")
	_, err = joiner.AskAsStranger(testContext(t), node(t, "q", with(ca.node(t, "q"))).Addr(), believe, nil)
	refusal(t, "a node that admits nobody", err, ErrRefused, "without a join token")
	if _, err := joiner.AskAsStranger(testContext(t), b.Addr(), believe, make([]byte, maxStrangerMessage+1)); err == nil {
		t.Error("a message that is too large was sent")
	}
}

// TestConnectionsOfARemovedNodeAreClosed has a node with connections of each kind,
// dialled by either end, refused while they stand.
func TestConnectionsOfARemovedNodeAreClosed(t *testing.T) {
	ca := newAuthority(t)
	mine := ca.node(t, "a")
	a, b, c := node(t, "a", with(mine)), node(t, "b", with(ca.node(t, "b"))), node(t, "c", with(ca.node(t, "c")))
	a.Handle(mEcho, echo)
	b.Handle(mEcho, echo)
	call := func(what string, from, to *Transport, ok bool) {
		t.Helper()
		if _, err := from.Call(testContext(t), to.Addr(), mEcho, nil); (err == nil) != ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	call("b calls a", b, a, true)
	call("a calls b", a, b, true)
	call("c calls a", c, a, true)
	raft, gossip := a.RaftLayer(), a.GossipStreams()
	streams := make(map[string]net.Conn)
	for _, l := range []*StreamLayer{raft, gossip} {
		for _, from := range []*Transport{b, c} {
			dialled, err := from.dialStream(a.Addr(), l.kind, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer dialled.Close()
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			streams[from.opts.ID+" "+l.kind.String()] = accepted
		}
	}
	id := "b"
	mine.revoked.Store(&id)
	a.CloseRefused(func(leaf *x509.Certificate) bool { return leaf.Subject.CommonName == id })
	for what, s := range streams {
		_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := s.Read(make([]byte, 1))
		if stands := errors.Is(err, os.ErrDeadlineExceeded); stands != strings.HasPrefix(what, "c") {
			t.Errorf("%s: %v", what, err)
		}
	}
	call("b calls a again", b, a, false)
	call("a calls b again", a, b, false)
	call("c calls a again", c, a, true)
}

// TestDeathIsSeenUnderTLS: the end of a process shows as it does without TLS.
func TestDeathIsSeenUnderTLS(t *testing.T) {
	ca := newAuthority(t)
	events := make(chan LinkEvent, 10)
	w := node(t, "w", func(o *Options) {
		o.Credentials = ca.node(t, "w")
		o.OnLink = func(e LinkEvent) { events <- e }
	})
	b := node(t, "b", with(ca.node(t, "b")))
	w.Watch(b.Addr(), "b")
	await(t, events, Up, 1)
	begun := time.Now()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, events, Dead, 1)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestOneHostCannotHoldAllHandshakes(t *testing.T) {
	var b byHost
	for range maxGreetings {
		if !b.enter("x", maxGreetings) {
			t.Fatal("refused too early")
		}
	}
	if b.enter("x", maxGreetings) || !b.enter("y", maxGreetings) {
		t.Error("the bound is not a host's")
	}
	b.leave("x")
	if !b.enter("x", maxGreetings) {
		t.Error("a place that was left isn't free")
	}
}

// TestAHostThatSaysNothingKeepsNoOtherOut has one host hold all that it may of
// the strangers' places while another asks.
func TestAHostThatSaysNothingKeepsNoOtherOut(t *testing.T) {
	b := node(t, "b", func(o *Options) {
		o.Credentials = newAuthority(t).node(t, "b")
		o.OnStranger = func(_ context.Context, _ Peer, _ string, req []byte) []byte { return req }
	})
	stranger := func(from string) *tls.Conn {
		t.Helper()
		cfg := baseTLS()
		cfg.InsecureSkipVerify = true
		c, err := tls.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}, "tcp", b.Addr(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		hello := header{version: protocolVersion, kind: kindStranger, incarnation: 1, cluster: "c1", id: "a"}
		if _, err := c.Write(hello.append(nil)); err != nil {
			t.Fatal(err)
		}
		if h, err := readHeader(c); err != nil || h.kind != answerOK {
			t.Fatalf("%v, %v", h, err)
		}
		return c
	}
	for range 2 * maxStrangers {
		stranger("127.0.0.2")
	}
	c := stranger("127.0.0.3")
	if err := writeMessage(c, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := readMessage(c); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestTheRefusalOfANodeWithoutACertificateIsNamed asks a node that waits to be
// joined to a cluster with TLS.
func TestTheRefusalOfANodeWithoutACertificateIsNamed(t *testing.T) {
	idle := node(t, "idle", with(&testCredentials{}))
	believe := func([]*x509.Certificate) error { return nil }
	_, err := node(t, "j", with(&testCredentials{})).AskAsStranger(testContext(t), idle.Addr(), believe, nil)
	refusal(t, "a stranger", err, ErrUntrusted, "belongs to no cluster")
	_, err = node(t, "k", with(newAuthority(t).node(t, "k"))).Probe(testContext(t), idle.Addr())
	refusal(t, "a node", err, ErrUntrusted, "belongs to no cluster")
}
