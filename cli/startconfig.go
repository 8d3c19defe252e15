package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// startConfig is what start runs: flags, environment and file put together.
type startConfig struct {
	node        node.Options
	httpAddr    string
	metricsAddr string
	proxy       proxyConfig
	adminToken  string
	logLevel    zapcore.Level
	logFormat   string
	attach      []func(*node.Node)
}

// startConfig resolves the flags of start. All its errors are of usage.
func (a *app) startConfig(fs *pflag.FlagSet) (*startConfig, error) {
	seeded, err := a.resolve(fs)
	if err != nil {
		return nil, err
	}
	f, err := a.configFile(fs)
	if err != nil {
		return nil, err
	}
	c := &startConfig{httpAddr: text(fs, "http-addr"), metricsAddr: text(fs, "metrics-addr"), logFormat: text(fs, "log-format")}
	if c.logLevel, err = zapcore.ParseLevel(text(fs, "log-level")); err != nil {
		return nil, usagef("--log-level: %q is none of debug, info, warn and error", text(fs, "log-level"))
	}
	if c.logFormat != "json" && c.logFormat != "console" {
		return nil, usagef("--log-format: %q is neither json nor console", c.logFormat)
	}
	if c.adminToken, err = a.adminToken(); err != nil {
		return nil, err
	}
	if c.proxy, err = proxyOptions(fs); err != nil {
		return nil, err
	}
	if c.node, err = a.nodeOptions(fs); err != nil {
		return nil, err
	}
	return c, a.addBots(c, fs, f, seeded)
}

// resolve fills in the environment. It returns the seeds that were given by
// flag or environment, which go before the file.
func (a *app) resolve(fs *pflag.FlagSet) (map[string]bool, error) {
	if err := a.environment(fs, scopeStart, scopeSeed); err != nil {
		return nil, err
	}
	seeded := make(map[string]bool)
	for _, d := range flags(scopeSeed) {
		seeded[d.name] = fs.Changed(d.name)
	}
	return seeded, nil
}

// configFile reads --config, and fills in the flags that were not given
// otherwise.
func (a *app) configFile(fs *pflag.FlagSet) (*file, error) {
	path := text(fs, "config")
	if path == "" {
		return &file{}, nil
	}
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	for _, d := range flags(scopeStart) {
		e, ok := f.keys[d.key()]
		if !ok || fs.Changed(d.name) {
			continue
		}
		value, err := f.words(e)
		if err == nil {
			err = fs.Set(d.name, value)
		}
		if err != nil {
			return nil, usagef("%s:%d: %s: %w", path, e.line, d.key(), err)
		}
	}
	return f, nil
}

// maxCount bounds weights and limits of a node.
const maxCount = 1_000_000

func (a *app) nodeOptions(fs *pflag.FlagSet) (node.Options, error) {
	o := node.Options{
		ID: text(fs, "id"), DataDir: text(fs, "data-dir"),
		ClusterAddr: text(fs, "cluster-addr"), AdvertiseAddr: text(fs, "advertise-addr"),
		Bootstrap: truth(fs, "bootstrap"), Join: list(fs, "join"), BootstrapExpect: count(fs, "bootstrap-expect"),
		SyncNodes: list(fs, "sync-nodes"), Insecure: truth(fs, "insecure"), Version: a.o.Version,
	}
	var err error
	o.ClusterTLS = truth(fs, "cluster-tls")
	if o.JoinToken, err = readJoinToken(text(fs, "join-token-file")); err != nil {
		return o, err
	}
	if o.SyncTimeout, err = time.ParseDuration(text(fs, "sync-timeout")); err != nil || o.SyncTimeout < 0 {
		return o, usagef("--sync-timeout: %q is no duration like 30s", text(fs, "sync-timeout"))
	}
	o.Backup = node.BackupOptions{Dir: text(fs, "backup-dir"), Keep: count(fs, "backup-keep")}
	if o.Backup.Every, err = time.ParseDuration(text(fs, "backup-every")); err != nil || o.Backup.Every < time.Second {
		return o, usagef("--backup-every: %q is no duration of a second or more, like 1h", text(fs, "backup-every"))
	}
	if o.Backup.Keep < 0 {
		return o, usagef("--backup-keep: a number of files is wanted, 0 for all")
	}
	for name, to := range map[string]*uint32{"weight": &o.Weight, "max-shards": &o.MaxShards} {
		n := count(fs, name)
		if n < 0 || n > maxCount {
			return o, usagef("--%s: a number from 0 to %d is wanted", name, maxCount)
		}
		*to = uint32(n)
	}
	if o.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			return o, usagef("the host has no name: give the node one with --id (%w)", err)
		}
		o.ID, _, _ = strings.Cut(host, ".")
	}
	o.DataDir = a.dataDir(o.DataDir)
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return o, &usageError{err}
	}
	if st, err := os.Stat(o.DataDir); err == nil && !st.IsDir() {
		return o, usagef("--data-dir: %s is not a directory", o.DataDir)
	}
	return o, checkAddrs(fs, o)
}

// dataDir returns the directory that is meant where none is named.
func (a *app) dataDir(named string) string {
	if named != "" {
		return named
	}
	if dir, ok := a.o.LookupEnv("STATE_DIRECTORY"); ok && dir != "" {
		first, _, _ := strings.Cut(dir, ":") // systemd lists all of a unit's directories
		return first
	}
	return "botnode-data"
}

func checkAddrs(fs *pflag.FlagSet, o node.Options) error {
	for _, name := range []string{"cluster-addr", "advertise-addr", "http-addr", "metrics-addr"} {
		addr := text(fs, name)
		if addr == "" && name != "cluster-addr" && name != "http-addr" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return usagef("--%s: %q is not HOST:PORT", name, addr)
		}
	}
	for _, peer := range o.Join {
		if _, _, err := net.SplitHostPort(peer); err != nil {
			return usagef("--join: %q is not HOST:PORT", peer)
		}
	}
	switch {
	case o.Bootstrap && len(o.Join) > 0:
		return usagef("--bootstrap and --join exclude each other: one node is bootstrapped, the others join it")
	case o.BootstrapExpect == 0 && len(o.Join) > 0 && !slices.ContainsFunc(o.Join, func(peer string) bool { return peer != o.ClusterAddr && peer != o.AdvertiseAddr }):
		return usagef("--join names only this node's own address: name another node of the cluster, or make one with --bootstrap")
	case o.BootstrapExpect < 0:
		return usagef("--bootstrap-expect: a number of nodes is wanted")
	case o.BootstrapExpect > 0 && len(o.Join) == 0:
		return usagef("--bootstrap-expect needs --join with the addresses of the nodes to wait for")
	}
	return nil
}

// addBots makes the bots out of the programs, the file's sections and the seeds.
func (a *app) addBots(c *startConfig, fs *pflag.FlagSet, f *file, seeded map[string]bool) error {
	programs, err := a.programs(text(fs, "builtin"), f)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if p.Named != nil {
			p.Named(p.Name)
		}
		b := &node.Bot{Name: p.Name, Seed: fsm.DefaultConfig(), Program: p.Program}
		b.Seed.Intents = uint64(discord.IntentsDefault)
		if p.Intents != 0 {
			b.Seed.Intents = uint64(p.Intents)
		}
		section := f.bots[p.Name]
		if err := f.apply(&b.Seed, p.Name, section); err != nil {
			return err
		}
		if err := seed(&b.Seed, fs, seeded, len(programs)); err != nil {
			return err
		}
		if b.Token, err = a.tokenOf(p.Name, fs, f, section, len(programs)); err != nil {
			return &usageError{err}
		}
		if p.Settings != nil {
			app, err := f.settings(p.Name)
			if err == nil {
				err = p.Settings(app)
			}
			if err != nil {
				return &usageError{err}
			}
		}
		c.node.Bots = append(c.node.Bots, b)
		if p.Attach != nil {
			c.attach = append(c.attach, p.Attach)
		}
	}
	return nil
}

// programs returns the bots' code, one for each bot.
func (a *app) programs(builtin string, f *file) ([]Program, error) {
	programs := slices.Clone(a.o.Programs)
	names := f.botNames()
	if len(names) == 0 {
		names = []string{DefaultBot}
	}
	for i := range programs {
		switch {
		case programs[i].Name != "":
		case len(programs) == 1 && len(names) == 1:
			programs[i].Name = names[0]
		default:
			programs[i].Name = DefaultBot
		}
	}
	if len(programs) > 0 {
		return programs, checkSections(programs, f)
	}
	create, ok := a.o.Builtins[builtin]
	if !ok && builtin != "none" {
		return nil, usagef("--builtin: there is no %q", builtin)
	}
	for _, name := range names {
		p := Program{}
		if ok {
			p = create()
		}
		p.Name = name
		programs = append(programs, p)
	}
	return programs, nil
}

// checkSections refuses sections of bots that the program doesn't have.
func checkSections(programs []Program, f *file) error {
	var names []string
	for _, p := range programs {
		names = append(names, p.Name)
	}
	for _, name := range f.botNames() {
		if !slices.Contains(names, name) {
			return f.unknown(1, "bots: ", name, names)
		}
	}
	return nil
}

// seed puts the seeds that were given by flag or environment into a bot's
// configuration.
func seed(c *fsm.Config, fs *pflag.FlagSet, seeded map[string]bool, bots int) error {
	set := map[string]func(*fsm.Config, string) error{
		"discord-api": setAPI, "shards": setShards, "intents": setIntents, "placement": setPlacement, "failback": setFailback,
		"failback-after": setFailbackAfter,
	}
	for _, d := range flags(scopeSeed) {
		if !seeded[d.name] {
			continue
		}
		if bots > 1 && d.name != "discord-api" {
			return usagef("--%s: there are %d bots: say it in the file, under bots:", d.name, bots)
		}
		if err := set[d.name](c, text(fs, d.name)); err != nil {
			return usagef("--%s: %w", d.name, err)
		}
	}
	return nil
}

func (a *app) tokenOf(bot string, fs *pflag.FlagSet, f *file, section map[string]entry, bots int) (string, error) {
	path := ""
	if e, ok := section["token_file"]; ok {
		var err error
		if path, err = f.words(e); err != nil {
			return "", err
		}
	}
	own := text(fs, "token-file")
	vars := []string{tokenVar(bot)}
	switch {
	case bots > 1 && own != "":
		return "", fmt.Errorf("--token-file: there are %d bots: give each its token_file under bots: in the file", bots)
	case bots == 1:
		vars = append(vars, "BOTNODE_TOKEN", "DISCORD_TOKEN")
		if own != "" {
			path = own
		}
	}
	token, err := a.botToken(path, vars...)
	switch {
	case errors.Is(err, errNoToken) && bots > 1:
		return "", fmt.Errorf("bot %s: no token: set %s, or its token_file under bots: in the file", bot, vars[0])
	case err != nil && bots > 1:
		return "", fmt.Errorf("bot %s: %w", bot, err)
	}
	return token, err
}

// tokenVar is the variable for the token of one bot: BOTNODE_TOKEN_ and its name
// in capitals, with _ for what can't be in a variable's name.
func tokenVar(bot string) string {
	return "BOTNODE_TOKEN_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(bot))
}

// logger makes the node's log, on standard error.
func (a *app) logger(c *startConfig) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if c.logFormat == "console" {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		enc.EncodeName = nil
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(a.errOut)), c.logLevel))
}

// classify tells errors of configuration from those that a restart may cure.
func classify(err error) error {
	for _, cause := range configErrors {
		if errors.Is(err, cause) {
			return &usageError{err}
		}
	}
	if errors.Is(err, admin.ErrBadRequest) {
		return &usageError{err}
	}
	return err
}
