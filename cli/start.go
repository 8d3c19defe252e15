package cli

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/internal/certfile"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/proxy"
	"github.com/botnode/botnode/transport"
	"github.com/botnode/botnode/trust"
)

// stopTimeout bounds an orderly end; the node bounds its hand-over by less.
const stopTimeout = 25 * time.Second

// configErrors are those that a restart can't cure.
var configErrors = []error{
	admin.ErrInsecureBind, transport.ErrInsecureBind,
	membership.ErrOtherNode, membership.ErrBadID, membership.ErrCorruptIdentity,
	membership.ErrJoining, membership.ErrDiverged, membership.ErrOtherCluster,
	trust.ErrCorruptKeychain, trust.ErrOtherNode, trust.ErrNoKey, node.ErrKeysGone, node.ErrPlainCluster,
	consensus.ErrRestoreUnfinished, node.ErrRecovering, consensus.ErrDamaged, node.ErrLogMissing,
	proxy.ErrInsecureBind, certfile.Err, admin.ErrPlainBind, node.ErrNoToken,
}

func (a *app) startCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "start", Short: "Run a node", Args: exactly(),
		Long: "Run a node until SIGTERM or SIGINT: then it hands its shards and its leadership over and stops. It stays a member of its cluster.\n\n" +
			"Every flag is also an environment variable, BOTNODE_ and its name in capitals, and a key of the file that --config names. The flag goes first, then the environment, then the file.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.startConfig(cmd.Flags())
			if err != nil {
				return err
			}
			return a.start(cmd.Context(), cfg)
		},
	}
	addFlags(c.Flags(), scopeStart, scopeSeed)
	for _, d := range flags(scopeStart, scopeSeed) {
		if d.words != nil {
			_ = c.RegisterFlagCompletionFunc(d.name, cobra.FixedCompletions(d.words, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
		}
	}
	return c
}

// notify delivers the signals that end a node.
func notify() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGTERM, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

// running is a node with what serves it.
type running struct {
	log   *zap.Logger
	node  *node.Node
	admin *admin.Server
	extra *admin.Server // /metrics alone; nil without --metrics-addr
	proxy *proxyServer  // nil without --proxy-addr
	fatal chan error
}

func (a *app) start(ctx context.Context, c *startConfig) error {
	signals, stopSignals := a.signals()
	defer stopSignals()
	r := &running{log: a.logger(c), fatal: make(chan error, 1)}
	if err := r.unlessFatal(func() error { return a.begin(c, r) }); err != nil {
		return classify(unfit(r.log, err))
	}
	r.admin.Start()
	if r.extra != nil {
		r.extra.Start()
	}
	r.log.Info("serving", zap.String("http", r.admin.Addr()), zap.String("cluster", c.node.ClusterAddr),
		zap.String("proxy", r.proxy.addr()), zap.String("data_dir", c.node.DataDir), zap.String("version", c.node.Version))
	return r.wait(ctx, signals, c.node.DataDir)
}

// begin opens everything and starts the node.
func (a *app) begin(c *startConfig, r *running) error {
	if err := a.open(c, r); err != nil {
		return err
	}
	err := r.node.Start()
	if err == nil {
		err = r.proxy.start(r.node)
	}
	if err != nil {
		return errors.Join(err, r.stop(context.Background()))
	}
	return nil
}

// unlessFatal runs f, but waits for it no longer once the node must not go on:
// whoever says so waits for the end of the process, and may be f itself.
func (r *running) unlessFatal(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case err := <-r.fatal:
		return r.broken(err)
	}
}

// broken says why the node can't go on. No orderly end: whoever reported it may
// hold the state's lock.
func (r *running) broken(err error) error {
	r.log.Error("the node can't go on", zap.String("code", "node_fatal"), zap.Error(err))
	_ = r.log.Sync() // standard error may not know how to
	return err
}

// severed is broken for a node that runs: the others are to know at once.
func (r *running) severed(err error) error {
	if r.node != nil {
		r.node.Sever()
	}
	return r.broken(err)
}

// open acquires everything, in the order in which the addresses are needed.
func (a *app) open(c *startConfig, r *running) error {
	ln, err := admin.Listen("--http-addr", c.httpAddr, c.adminToken != "" || c.node.Insecure)
	if err != nil {
		return err
	}
	cert, err := loadHTTPCert(c, r.log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	meter := admin.NewMeter()
	if r.proxy, err = openProxy(c, meter, r.log); err != nil {
		return errors.Join(err, ln.Close())
	}
	o := c.node
	o.HTTPAddr, o.Metrics, o.Logger, o.Fatal = ln.Addr().String(), meter, r.log, r.die
	if r.node, err = node.New(o); err != nil {
		return errors.Join(err, r.proxy.close(), ln.Close())
	}
	if ln, err = secureHTTP(c, ln, cert, r.node); err != nil {
		return errors.Join(err, r.proxy.close(), ln.Close(), r.node.Kill())
	}
	for _, attach := range c.attach {
		attach(r.node)
	}
	metrics, err := metricsHandler(r.node, meter)
	if err == nil {
		r.admin, err = admin.NewServer(admin.ServerOptions{
			Listener: ln, Backend: r.node, Token: c.adminToken, Insecure: o.Insecure, Metrics: metrics, Logger: r.log.Named("admin"),
		})
	}
	if err == nil && c.metricsAddr != "" {
		r.extra, err = admin.NewServer(admin.ServerOptions{
			Addr: c.metricsAddr, MetricsOnly: true, Backend: r.node, Metrics: metrics, Logger: r.log.Named("metrics"),
		})
	}
	if err != nil {
		return errors.Join(err, r.proxy.close(), ln.Close(), r.node.Kill())
	}
	return nil
}

// metricsHandler gives the node a registry of its own.
func metricsHandler(b admin.Backend, m *admin.Meter) (http.Handler, error) {
	reg := prometheus.NewRegistry()
	if err := errors.Join(admin.RegisterMetrics(reg, b), m.Register(reg), admin.BridgeMetrics(reg)); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second}), nil
}

// die takes the news that the node must not go on. Its caller may hold locks,
// and must not go on either: it waits here for the end of the process.
func (r *running) die(err error) {
	select {
	case r.fatal <- err:
	default:
	}
	select {}
}

// wait runs the node until it is told to stop, has left, or can't go on.
func (r *running) wait(ctx context.Context, signals <-chan os.Signal, dir string) error {
	select {
	case err := <-r.fatal:
		return r.severed(err)
	case <-r.node.Left():
		r.log.Info("the node has left its cluster; stopping")
		return r.gone(r.stop, dir)
	case s := <-signals:
		r.log.Info("stopping: shards and leadership are handed over; a second signal ends the node at once", zap.Stringer("signal", s))
	case <-ctx.Done():
		r.log.Info("stopping")
	}
	return r.endOrBreak(signals, r.stop)
}

// gone ends a node that has left its cluster. Whoever says meanwhile that the node must
// not go on waits for the end of the process, and what stops the node may wait for it.
func (r *running) gone(stop func(context.Context) error, dir string) error {
	if err := r.unlessFatal(func() error { return stop(context.Background()) }); err != nil {
		return err
	}
	return wipe(dir)
}

// endOrBreak ends in order, unless a second signal or a fatal error comes.
func (r *running) endOrBreak(signals <-chan os.Signal, stop func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		done <- stop(ctx)
	}()
	select {
	case err := <-done:
		r.log.Info("stopped")
		return err
	case err := <-r.fatal:
		return r.severed(err)
	case <-signals:
		r.log.Warn("ended at once by a second signal", zap.String("code", "stopped_hard"))
		return exitError{admin.ExitFailed}
	}
}

// stop ends the proxy first: its clients go elsewhere while the node can still
// speak for them. Then the node, so that its API answers while it hands over.
func (r *running) stop(ctx context.Context) error {
	err := r.proxy.close()
	err = errors.Join(err, r.node.Stop(ctx))
	bounded, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err = errors.Join(err, r.admin.Stop(bounded))
	if r.extra != nil {
		err = errors.Join(err, r.extra.Stop(bounded))
	}
	return err
}

// stateFiles are what a node keeps in its data directory.
var stateFiles = []string{"raft.db", "wal", "snapshots", "extent", "vote.json", "restoring.json", "recovery.json", "node.json", trust.FileName}

// wipe makes the data directory of a node that has left its cluster fresh. Only
// what nodes make is removed, and not the lock: another process may hold it.
func wipe(dir string) error {
	var errs []error
	for _, name := range stateFiles {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
