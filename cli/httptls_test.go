package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/internal/certfile/certtest"
	"github.com/botnode/botnode/trust"
)

// ask runs a command against a URL, with an environment.
func ask(t *testing.T, vars map[string]string, url string, args ...string) (int, string) {
	t.Helper()
	var out, errs output
	code := Run(t.Context(), Options{Args: append(args, "--http", url), Stdout: &out, Stderr: &errs, LookupEnv: env(vars)})
	return code, out.String() + errs.String()
}

// TestHTTPTLSByTheNodesOwnCertificate: beyond loopback the admin API of a cluster
// with TLS has it, too, and `tls ca` prints what clients have to believe.
func TestHTTPTLSByTheNodesOwnCertificate(t *testing.T) {
	discordSim := sim.New(sim.Options{Token: secret})
	if err := discordSim.Start(); err != nil {
		t.Fatal(err)
	}
	defer discordSim.Close()
	vars := map[string]string{"DISCORD_TOKEN": secret, "BOTNODE_ADMIN_TOKEN": "own-token"}
	dir := t.TempDir()
	joe := startNodeWith(t, vars, discordSim.APIURL(), "joe", dir, "--bootstrap", "--cluster-tls", "--http-addr", "0.0.0.0:0")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(joe.http, "http://"))
	plain, secure := "http://127.0.0.1:"+port, "https://127.0.0.1:"+port
	client := map[string]string{"BOTNODE_ADMIN_TOKEN": "own-token"}

	if code, out := ask(t, client, plain, "status"); code == 0 || !strings.Contains(out, "speaks TLS") || !strings.Contains(out, "--http https://") {
		t.Errorf("plain HTTP: %d %s", code, out)
	}
	if code, out := ask(t, client, secure, "status"); code != admin.ExitUnknown || !strings.Contains(out, "--http-ca") {
		t.Errorf("the system's authorities: %d %s", code, out)
	}
	// An operator reads it from `tls ca`, over loopback or another way that he trusts.
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(rootOf(t, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	client["BOTNODE_HTTP_CA"] = ca
	if code, out := ask(t, client, secure, "wait", "--for", "ready", "--timeout", "20s"); code != 0 {
		t.Fatalf("with the cluster's authority: %d %s", code, out)
	}
	code, printed := ask(t, client, secure, "tls", "ca")
	if code != 0 || printed != rootOf(t, dir) {
		t.Errorf("tls ca: %d %s", code, printed)
	}
	other, _ := certtest.Write(t, t.TempDir(), "other", 1)
	if code, _ := ask(t, map[string]string{"BOTNODE_ADMIN_TOKEN": "own-token", "BOTNODE_HTTP_CA": other}, secure, "status"); code != admin.ExitUnknown {
		t.Errorf("another authority: %d", code)
	}
	if code, out := ask(t, map[string]string{"BOTNODE_HTTP_CA": ca}, secure, "status"); code != admin.ExitFailed || !strings.Contains(out, "token") {
		t.Errorf("without a token: %d %s", code, out)
	}
	if code, out := ask(t, client, secure, "doctor"); strings.Contains(out, "does not answer") {
		t.Errorf("doctor: %d %s", code, out)
	}
	joe.signals <- syscall.SIGTERM
	if code := joe.exitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, joe.log)
	}
}

// TestHTTPTLSByFiles serves a certificate that was given, on loopback, too.
func TestHTTPTLSByFiles(t *testing.T) {
	discordSim := sim.New(sim.Options{Token: secret})
	if err := discordSim.Start(); err != nil {
		t.Fatal(err)
	}
	defer discordSim.Close()
	cert, key := certtest.Write(t, t.TempDir(), "joe.example", 1)
	joe := startNode(t, discordSim.APIURL(), "joe", t.TempDir(), "--bootstrap", "--http-tls-cert", cert, "--http-tls-key", key)
	secure := strings.Replace(joe.http, "http://", "https://", 1)
	if code, out := ask(t, map[string]string{"BOTNODE_HTTP_CA": cert}, secure, "status"); code != 0 {
		t.Errorf("with the certificate: %d %s", code, out)
	}
	if code, out := ask(t, map[string]string{"BOTNODE_HTTP_CA": cert}, secure, "tls", "ca"); code != admin.ExitFailed || !strings.Contains(out, "no TLS") {
		t.Errorf("tls ca without keys: %d %s", code, out)
	}
	joe.signals <- syscall.SIGTERM
	if code := joe.exitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, joe.log)
	}
}

// TestHTTPBeyondLoopbackWithoutTLS: a token isn't enough.
func TestHTTPBeyondLoopbackWithoutTLS(t *testing.T) {
	var errs output
	args := []string{"start", "--data-dir", t.TempDir(), "--cluster-addr", "127.0.0.1:0", "--http-addr", "0.0.0.0:0"}
	vars := map[string]string{"DISCORD_TOKEN": secret, "BOTNODE_ADMIN_TOKEN": "own-token"}
	code := Run(t.Context(), Options{Args: args, Stderr: &errs, LookupEnv: env(vars)})
	if code != admin.ExitUsage || !strings.Contains(errs.String(), "beyond loopback without TLS") || !strings.Contains(errs.String(), "--http-tls-cert") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if code := Run(t.Context(), Options{Args: append(args, "--http-tls-cert", "x"), Stderr: &errs, LookupEnv: env(vars)}); code != admin.ExitUsage {
		t.Errorf("a certificate without its key: exit code %d: %s", code, errs.String())
	}
}

// rootOf reads the authority that a node believes out of its directory.
func rootOf(t *testing.T, dir string) string {
	t.Helper()
	k, err := trust.OpenKeychain(trust.Directory(dir), "joe")
	if err != nil || len(k.Roots()) != 1 {
		t.Fatal(err)
	}
	return trust.PEM(k.Roots()[0])
}
