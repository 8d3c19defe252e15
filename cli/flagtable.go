package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// scope says which commands have a flag.
type scope uint8

const (
	scopeGlobal scope = iota // every command that speaks to a node
	scopeStart               // start: this node's own
	scopeSeed                // start: seeds of a bot's replicated configuration
)

// flagDef is one row of the table of flags.
type flagDef struct {
	scope  scope
	name   string
	value  string // what stands for the value in texts; "" for a switch
	def    any    // string, bool, int, time.Duration or []string
	usage  string
	noFile bool     // not a key of the file
	words  []string // completion
}

// flagTable is the one list of flags. The default of a seed is what holds
// where nothing is given: a bot that exists keeps its replicated configuration.
var flagTable = []flagDef{
	{scope: scopeGlobal, name: "http", value: "URL", def: "http://127.0.0.1:7201", usage: "admin API of the node that is spoken to"},
	{scope: scopeGlobal, name: "http-ca", value: "FILE", def: "", usage: "certificates (PEM) of the authorities that are believed about https, such as what botnode tls ca prints (default: the system's)"},
	{scope: scopeGlobal, name: "bot", value: "NAME", def: "", usage: "the bot that is meant, where there are several"},

	{scope: scopeStart, name: "id", value: "ID", def: "", usage: "the node's name in the cluster (default: the short host name)"},
	{scope: scopeStart, name: "data-dir", value: "DIR", def: "", usage: "where the node keeps its state (default: $STATE_DIRECTORY or ./botnode-data)"},
	{scope: scopeStart, name: "cluster-addr", value: "HOST:PORT", def: "127.0.0.1:7101", usage: "address for the other nodes: TCP and UDP"},
	{scope: scopeStart, name: "advertise-addr", value: "HOST:PORT", def: "", usage: "cluster address as the other nodes reach it (default: --cluster-addr)"},
	{scope: scopeStart, name: "http-addr", value: "HOST:PORT", def: "127.0.0.1:7201", usage: "address of the admin API; beyond loopback it needs BOTNODE_ADMIN_TOKEN, and has TLS by the node's own certificate"},
	{scope: scopeStart, name: "http-tls-cert", value: "FILE", def: "", usage: "a certificate of your own for the admin API, with its chain (PEM); read again when the file changes"},
	{scope: scopeStart, name: "http-tls-key", value: "FILE", def: "", usage: "the key of that certificate (PEM)"},
	{scope: scopeStart, name: "proxy-addr", value: "HOST:PORT", def: "", usage: "address of the proxy, a Discord for bots in any language; beyond loopback it needs --proxy-tls-cert (default: no proxy)"},
	{scope: scopeStart, name: "proxy-public-url", value: "URL", def: "", usage: "the proxy's address as clients reach it, one for all nodes, such as wss://bots.example.org (default: the address that a client used)"},
	{scope: scopeStart, name: "proxy-tls-cert", value: "FILE", def: "", usage: "the proxy's certificate, with its chain (PEM); read again when the file changes"},
	{scope: scopeStart, name: "proxy-tls-key", value: "FILE", def: "", usage: "the key of that certificate (PEM)"},
	{scope: scopeStart, name: "metrics-addr", value: "HOST:PORT", def: "", usage: "a separate address for /metrics, without a token"},
	{scope: scopeStart, name: "bootstrap", def: false, usage: "make a cluster of this node, if its directory is fresh"},
	{scope: scopeStart, name: "join", value: "HOST:PORT,...", def: []string(nil), usage: "cluster addresses of nodes to join, tried in turn"},
	{scope: scopeStart, name: "join-token-file", value: "FILE", def: "", usage: "file with a join token, with which the node gets a certificate of the cluster that it joins"},
	{scope: scopeStart, name: "cluster-tls", def: false, usage: "TLS between nodes on loopback, too; beyond it they have TLS unless --insecure is given"},
	{scope: scopeStart, name: "bootstrap-expect", value: "N", def: 0, usage: "make a cluster once N of the nodes in --join are up and none has one"},
	{scope: scopeStart, name: "sync-nodes", value: "ID,...", def: []string(nil), usage: "ids of nodes that have to be up before the bot starts, where it doesn't run in the cluster yet"},
	{scope: scopeStart, name: "sync-timeout", value: "DURATION", def: 30 * time.Second, usage: "how long to wait for --sync-nodes"},
	{scope: scopeStart, name: "weight", value: "N", def: 1, usage: "the node's share of the shards relative to the others'; 0: only shards that no other node can have"},
	{scope: scopeStart, name: "max-shards", value: "N", def: 0, usage: "the most shards that the node is given; 0 for no bound"},
	{scope: scopeStart, name: "backup-dir", value: "DIR", def: "", usage: "where the node saves backups while it leads: give it to every node (default: no backups)"},
	{scope: scopeStart, name: "backup-every", value: "DURATION", def: time.Hour, usage: "how often"},
	{scope: scopeStart, name: "backup-keep", value: "N", def: 48, usage: "how many of the cluster's backups stay in --backup-dir; 0 for all"},
	{scope: scopeStart, name: "config", value: "FILE", def: "", usage: "configuration file (YAML)", noFile: true},
	{scope: scopeStart, name: "token-file", value: "FILE", def: "", usage: "file with the bot's Discord token (else BOTNODE_TOKEN, else DISCORD_TOKEN)"},
	{scope: scopeStart, name: "builtin", value: "none|ping", def: "none", usage: "what a program without handlers runs: ping answers \"!ping X\" with \"pong X\"", words: []string{"none", "ping"}},
	{scope: scopeStart, name: "log-level", value: "LEVEL", def: "info", usage: "debug, info, warn or error", words: []string{"debug", "info", "warn", "error"}},
	{scope: scopeStart, name: "log-format", value: "json|console", def: "json", usage: "form of the log on standard error", words: []string{"json", "console"}},
	{scope: scopeStart, name: "insecure", def: false, usage: "allow open ports beyond loopback: no TLS between nodes, no token for the admin API"},

	{scope: scopeSeed, name: "discord-api", value: "URL", def: "https://discord.com/api/v10", usage: "Discord's REST API"},
	{scope: scopeSeed, name: "shards", value: "auto|N|LO-HI/N|manual", def: "auto", usage: "which shards the cluster runs: LO-HI/N is a part of N, manual none but those that botnode shard connect connects"},
	{scope: scopeSeed, name: "intents", value: "NAME,...", def: "", usage: "gateway intents (default: what the program asks for, else \"default\")"},
	{scope: scopeSeed, name: "placement", value: "POLICY", def: "spread", usage: "spread, or prefer:joe,mike+robert: on joe, else on mike and robert, else on the others"},
	{scope: scopeSeed, name: "failback", def: false, usage: "give shards back to a preferred node once it is stable"},
	{scope: scopeSeed, name: "failback-after", value: "DURATION", def: "10s", usage: "how long that node must have been up before, without a break"},
}

// env returns the variable that stands for a flag.
func (d flagDef) env() string {
	return "BOTNODE_" + strings.ToUpper(strings.ReplaceAll(d.name, "-", "_"))
}

// key returns the flag's key in the file.
func (d flagDef) key() string { return strings.ReplaceAll(d.name, "-", "_") }

// flags returns the rows of scopes.
func flags(scopes ...scope) []flagDef {
	var out []flagDef
	for _, d := range flagTable {
		if slices.Contains(scopes, d.scope) {
			out = append(out, d)
		}
	}
	return out
}

// addFlags adds the flags of scopes to a set.
func addFlags(fs *pflag.FlagSet, scopes ...scope) {
	for _, d := range flags(scopes...) {
		switch def := d.def.(type) {
		case string:
			fs.String(d.name, def, d.usage)
		case bool:
			fs.Bool(d.name, def, d.usage)
		case int:
			fs.Int(d.name, def, d.usage)
		case time.Duration:
			fs.Duration(d.name, def, d.usage)
		case []string:
			fs.StringSlice(d.name, def, d.usage)
		}
		if f := fs.Lookup(d.name); d.value != "" {
			f.Value = named{f.Value, d.value}
			f.DefValue = strings.TrimSuffix(f.DefValue, "[]") // an empty list is no default worth saying
		}
	}
}

// named is a flag's value that help texts call by a name of its own.
type named struct {
	pflag.Value
	name string
}

// Type implements pflag.Value.
func (n named) Type() string { return n.name }

func text(fs *pflag.FlagSet, name string) string { return fs.Lookup(name).Value.String() }

func truth(fs *pflag.FlagSet, name string) bool { return text(fs, name) == "true" }

func count(fs *pflag.FlagSet, name string) int {
	n, _ := strconv.Atoi(text(fs, name)) // pflag has parsed it
	return n
}

// list returns a list flag's words, without empty ones.
func list(fs *pflag.FlagSet, name string) []string {
	n, _ := fs.Lookup(name).Value.(named)
	v, ok := n.Value.(pflag.SliceValue)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(v.GetSlice(), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// environment sets the flags of scopes that weren't given out of the
// environment.
func (a *app) environment(fs *pflag.FlagSet, scopes ...scope) error {
	for _, d := range flags(scopes...) {
		text, ok := a.o.LookupEnv(d.env())
		if !ok || text == "" || fs.Changed(d.name) {
			continue
		}
		if err := fs.Set(d.name, text); err != nil {
			return usagef("%s: %w", d.env(), err)
		}
	}
	return nil
}

// startFlags returns a set of start's flags, to check values with.
func startFlags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("start", pflag.ContinueOnError)
	addFlags(fs, scopeStart, scopeSeed)
	return fs
}
