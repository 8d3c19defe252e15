// Package certfile serves TLS with a certificate that follows its files, or with
// one that somebody else keeps.
package certfile

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Err is returned for a certificate or key that can't be used.
var Err = errors.New("the certificate can't be used")

// every is how often the files of a certificate are looked at, at most.
const every = 10 * time.Second

// Certificate is a TLS certificate that follows its files: whoever renews it
// replaces them, and the next handshakes show the new one. It is safe for
// concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *zap.Logger
	now               func() time.Time

	mu      sync.Mutex // guards what follows
	current *tls.Certificate
	files   [2]fileMark // as they were when current was read
	looked  time.Time
}

// fileMark tells a file from what replaces it.
type fileMark struct {
	at   time.Time
	size int64
}

// Load reads a certificate with its chain and its key, both PEM.
// Errors are of Err.
func Load(certFile, keyFile string, log *zap.Logger) (*Certificate, error) {
	if log == nil {
		log = zap.NewNop()
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	marks, err := c.marks()
	if err == nil {
		err = c.read(marks)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", Err, err)
	}
	c.looked = c.now()
	return c, nil
}

// marks looks at both files.
func (c *Certificate) marks() (marks [2]fileMark, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return marks, err
		}
		marks[i] = fileMark{info.ModTime(), info.Size()}
	}
	return marks, nil
}

// read makes the files' content the current certificate.
func (c *Certificate) read(marks [2]fileMark) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.files = &pair, marks
	return nil
}

// get returns the certificate for a handshake. While the files can't be read, as
// between the replacement of one and the other, the one before goes on.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= every {
		c.looked = now
		marks, err := c.marks()
		if err == nil && marks != c.files {
			if err = c.read(marks); err == nil {
				c.log.Info("the certificate was read anew", zap.String("file", c.certFile))
			}
		}
		if err != nil {
			c.log.Warn("the certificate can't be read; the one before goes on", zap.String("code", "certificate_files"),
				zap.String("file", c.certFile), zap.Error(err))
		}
	}
	return c.current, nil
}

// Listen wraps a listener into TLS with the certificate.
func (c *Certificate) Listen(ln net.Listener) net.Listener { return Listen(ln, c.get) }

// Listen wraps a listener into TLS; get returns the certificate of a handshake.
// HTTP/2 isn't offered: a WebSocket begins as HTTP/1.1.
func Listen(ln net.Listener, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) net.Listener {
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: get})
}
