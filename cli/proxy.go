package cli

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/internal/certfile"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/proxy"
)

// proxyConfig is what the flags say of the proxy.
type proxyConfig struct {
	addr      string // "" for no proxy
	publicURL string
	cert, key string
}

// proxyOptions reads the proxy's flags. All its errors are of usage.
func proxyOptions(fs *pflag.FlagSet) (c proxyConfig, err error) {
	c = proxyConfig{
		addr: text(fs, "proxy-addr"), publicURL: text(fs, "proxy-public-url"),
		cert: text(fs, "proxy-tls-cert"), key: text(fs, "proxy-tls-key"),
	}
	if c.addr == "" {
		for _, name := range []string{"proxy-public-url", "proxy-tls-cert", "proxy-tls-key"} {
			if text(fs, name) != "" {
				return c, usagef("--%s needs --proxy-addr", name)
			}
		}
		return c, nil
	}
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return c, usagef("--proxy-addr: %q is not HOST:PORT", c.addr)
	}
	if (c.cert == "") != (c.key == "") {
		return c, usagef("--proxy-tls-cert and --proxy-tls-key go together")
	}
	if c.publicURL, err = proxy.PublicURL(c.publicURL); err != nil {
		return c, usagef("--proxy-public-url: %w", err)
	}
	return c, nil
}

// proxyServer is the node's proxy. A nil one stands for none.
type proxyServer struct {
	o      proxy.Options
	server *proxy.Server
}

// openProxy binds the proxy's address, so that a node which can't have it doesn't
// start; nothing is served yet. It returns nil without --proxy-addr.
func openProxy(c *startConfig, m proxy.Metrics, log *zap.Logger) (*proxyServer, error) {
	p := c.proxy
	if p.addr == "" {
		return nil, nil //nolint:nilnil // no proxy is wanted
	}
	o := proxy.Options{PublicURL: p.publicURL, Metrics: m, Logger: log.Named("proxy")}
	var cert *certfile.Certificate
	if p.cert != "" {
		var err error
		if cert, err = certfile.Load(p.cert, p.key, o.Logger); err != nil {
			return nil, fmt.Errorf("--proxy-tls-cert: %w", err)
		}
		o.TLS = true
	}
	ln, err := admin.Listen("--proxy-addr", p.addr, o.TLS || c.node.Insecure)
	if errors.Is(err, admin.ErrInsecureBind) {
		return nil, admin.WithHint(fmt.Errorf("%w: --proxy-addr %s", proxy.ErrInsecureBind, p.addr),
			"give --proxy-tls-cert and --proxy-tls-key, listen on 127.0.0.1, or accept with --insecure that keys and messages are read on the way")
	}
	if err != nil {
		return nil, err
	}
	if o.Listener = ln; cert != nil {
		o.Listener = cert.Listen(ln)
	}
	return &proxyServer{o: o}, nil
}

// start serves clients, once the node has started.
func (p *proxyServer) start(n *node.Node) (err error) {
	if p == nil {
		return nil
	}
	p.o.Backend = n
	if p.server, err = proxy.New(p.o); err == nil {
		n.ServesProxy(p.addr(), p.server.Clients)
	}
	return err
}

// addr returns the address that is listened on, "" for none.
func (p *proxyServer) addr() string {
	if p == nil {
		return ""
	}
	return p.o.Listener.Addr().String()
}

// close sends the clients elsewhere.
func (p *proxyServer) close() error {
	switch {
	case p == nil:
		return nil
	case p.server == nil:
		return p.o.Listener.Close()
	}
	return p.server.Close()
}
