package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/internal/certfile"
	"github.com/botnode/botnode/node"
)

// loadHTTPCert reads the admin API's own certificate; nil where none is given.
func loadHTTPCert(c *startConfig, log *zap.Logger) (*certfile.Certificate, error) {
	if c.httpCert[0] == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	cert, err := certfile.Load(c.httpCert[0], c.httpCert[1], log.Named("admin"))
	if err != nil {
		return nil, fmt.Errorf("--http-tls-cert: %w", err)
	}
	return cert, nil
}

// secureHTTP makes the admin API's listener TLS: with the certificate that was
// given, else, beyond loopback, with the node's own. Plain it leaves loopback with
// --insecure alone. The listener that it returns is never nil.
func secureHTTP(c *startConfig, ln net.Listener, cert *certfile.Certificate, n *node.Node) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.httpAddr)
	switch {
	case err != nil:
		return ln, err
	case cert != nil:
		return cert.Listen(ln), nil
	case host == "" || admin.Loopback(host):
		return ln, nil
	case n.HasKeys():
		return certfile.Listen(ln, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.Certificate() }), nil
	case c.node.Insecure:
		return ln, nil
	}
	return ln, admin.WithHint(fmt.Errorf("%w: --http-addr %s", admin.ErrPlainBind, c.httpAddr),
		"a cluster with TLS between its nodes has it here, too; or give --http-tls-cert and --http-tls-key, listen on 127.0.0.1, or accept with --insecure that tokens are read on the way")
}

// believing returns an HTTP client that believes the authorities of a file alone.
func believing(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--http-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usagef("--http-ca: %s has no certificate in PEM", file)
	}
	t, _ := http.DefaultTransport.(*http.Transport)
	t = t.Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	t.DisableKeepAlives = true // nobody would close what is left idle
	return &http.Client{Transport: t}, nil
}

func (a *app) tlsCA() *cobra.Command {
	return a.remote(&cobra.Command{
		Use: "ca", Short: "Print the certificates of the cluster's authorities", Args: exactly(),
		Long: "Print the certificates of the cluster's authorities (PEM): what --http-ca and other clients of the admin API want. They are no secret. " +
			"`botnode tls rotate` makes a new one: while it goes on this prints both, and afterwards the new one alone.",
		Example: "  botnode tls ca > ca.pem\n  botnode status --http https://10.0.0.2:7201 --http-ca ca.pem",
	}, readTimeout, func(ctx context.Context, client *admin.Client, _ []string) error {
		t, err := client.TLS(ctx)
		if err != nil {
			return err
		}
		if !t.Enabled || len(t.Authorities) == 0 {
			return fmt.Errorf("%w: the nodes of this cluster have no TLS between them", admin.ErrNotFound)
		}
		for _, x := range t.Authorities {
			a.printf("%s", x.Certificate)
		}
		return nil
	})
}
