package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/discord"
)

// Options are what a connection needs. URL, Token and Sink are required.
type Options struct {
	// URL is wss://host or ws://host; its query is completed by Dial.
	URL string
	// Compression is asked of Discord in the query.
	Compression Compression
	// Token authenticates IDENTIFY and RESUME. It is in no log and no error.
	Token string
	// Seq is the sequence number that heartbeats carry, the committed one;
	// without ok they carry null. It is called often and must not block.
	Seq func() (seq int64, ok bool)
	// Sink receives the reports.
	Sink Sink

	// HelloTimeout is how long HELLO may take after the handshake. Default 15 s.
	HelloTimeout time.Duration
	// ReadyTimeout is how long READY may take after IDENTIFY. Default 60 s:
	// an IDENTIFY is dear, and in an outage READY is late.
	ReadyTimeout time.Duration
	// ResumedTimeout is how long a RESUME may go without an event or RESUMED.
	// Default 30 s.
	ResumedTimeout time.Duration
	// WriteTimeout bounds one write. Default 10 s.
	WriteTimeout time.Duration
	// CloseTimeout is how long CloseSession waits for Discord. Default 2 s.
	CloseTimeout time.Duration
	// HandshakeTimeout bounds Dial. Default 15 s.
	HandshakeTimeout time.Duration

	// MaxMessage bounds a decoded message. Default 64 MiB.
	MaxMessage int64
	// NetDial replaces the TCP dial; for tests and proxies.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is the client's configuration for wss; nil for the default one.
	TLS *tls.Config
	// UserAgent is sent in the handshake. Default discord.UserAgent("").
	UserAgent string
	// Jitter draws the part of an interval before the first heartbeat, in
	// [0, 1). Default uniform.
	Jitter func() float64
	// Logger may be nil.
	Logger *zap.Logger
}

// defaultMaxMessage is far above any READY or GUILD_CREATE that was seen.
const defaultMaxMessage = 64 << 20

// withDefaults fills what is empty and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.Sink == nil {
		return o, errors.New("gateway: no sink")
	}
	if o.Token == "" {
		return o, errors.New("gateway: no token")
	}
	if o.MaxMessage < 0 || o.MaxMessage > 1<<30 {
		return o, fmt.Errorf("gateway: max message %d is out of range", o.MaxMessage)
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&o.HelloTimeout, 15 * time.Second},
		{&o.ReadyTimeout, 60 * time.Second},
		{&o.ResumedTimeout, 30 * time.Second},
		{&o.WriteTimeout, 10 * time.Second},
		{&o.CloseTimeout, 2 * time.Second},
		{&o.HandshakeTimeout, 15 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Seq == nil {
		o.Seq = func() (int64, bool) { return 0, false }
	}
	if o.NetDial == nil {
		o.NetDial = dialTCP
	}
	if o.UserAgent == "" {
		o.UserAgent = discord.UserAgent("")
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o, nil
}

// address completes the query of the URL. A resume must use the same version,
// encoding and compression as the connection before (events/gateway.mdx,
// "Preparing to Resume"), so whatever the URL says about them is replaced.
func (o Options) address() (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return "", fmt.Errorf("gateway url: %w", err)
	}
	if (u.Scheme != "wss" && u.Scheme != "ws") || u.Host == "" {
		return "", fmt.Errorf("gateway url %q: want ws://host or wss://host", u.Redacted())
	}
	if u.Path == "" {
		u.Path = "/"
	}
	q := u.Query()
	q.Set("v", "10")
	q.Set("encoding", "json")
	q.Del("compress")
	if c := o.Compression.String(); c != "" {
		q.Set("compress", c)
	}
	u.RawQuery, u.Fragment, u.User = q.Encode(), "", nil
	return u.String(), nil
}

// String leaves the token out.
func (o Options) String() string { return "gateway options for " + o.URL }

// GoString leaves the token out.
func (o Options) GoString() string { return o.String() }

// secret is a text that prints as dots. Only encoding a payload looks inside.
type secret string

// String hides the text.
func (secret) String() string { return "[redacted]" }

// GoString hides the text from %#v.
func (secret) GoString() string { return "[redacted]" }
