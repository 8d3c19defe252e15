package consensus

import (
	"fmt"
	"io"
	"log"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// hcLogger hands raft's messages to zap: the message stays constant, the facts become fields.
type hcLogger struct {
	log  *zap.Logger
	name string
	args []any
	// closing demotes everything to debug: a node that is being closed fails all its connections on purpose.
	closing *atomic.Bool
}

var _ hclog.Logger = (*hcLogger)(nil)

// demoted are messages that repeat for as long as a peer is down. The one warning about that peer comes from the layer
// that detects its death.
var demoted = map[string]bool{
	"failed to heartbeat to":                                   true,
	"failed to appendEntries to":                               true,
	"failed to make requestVote RPC":                           true,
	"failed to decode incoming command":                        true,
	"failed to flush response":                                 true,
	"unable to get address for server, using fallback address": true,
}

func newHCLogger(l *zap.Logger) *hcLogger {
	return &hcLogger{log: l.Named("raft"), closing: new(atomic.Bool)}
}

// Log writes one message.
func (h *hcLogger) Log(level hclog.Level, msg string, args ...any) {
	zl := zapLevel(level)
	if h.closing.Load() || demoted[msg] {
		zl = zapcore.DebugLevel
	}
	if ce := h.log.Check(zl, msg); ce != nil {
		ce.Write(append(fields(h.args), fields(args)...)...)
	}
}

func zapLevel(level hclog.Level) zapcore.Level {
	switch level {
	case hclog.Error:
		return zapcore.ErrorLevel
	case hclog.Warn:
		return zapcore.WarnLevel
	case hclog.Info:
		return zapcore.InfoLevel
	default:
		return zapcore.DebugLevel
	}
}

func fields(args []any) []zap.Field {
	out := make([]zap.Field, 0, len(args)/2+1)
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return append(out, zap.Any("extra", args[i]))
		}
		key, ok := args[i].(string)
		if !ok {
			key = fmt.Sprint(args[i])
		}
		out = append(out, field(key, args[i+1]))
	}
	return out
}

func field(key string, value any) zap.Field {
	if f, ok := value.(hclog.Format); ok && len(f) > 0 {
		if layout, isString := f[0].(string); isString {
			return zap.String(key, fmt.Sprintf(layout, f[1:]...))
		}
	}
	if s, ok := value.(fmt.Stringer); ok {
		return zap.Stringer(key, s)
	}
	return zap.Any(key, value)
}

// Trace writes at debug level: zap has none below it.
func (h *hcLogger) Trace(msg string, args ...any) { h.Log(hclog.Trace, msg, args...) }

// Debug writes at debug level.
func (h *hcLogger) Debug(msg string, args ...any) { h.Log(hclog.Debug, msg, args...) }

// Info writes at info level.
func (h *hcLogger) Info(msg string, args ...any) { h.Log(hclog.Info, msg, args...) }

// Warn writes at warn level.
func (h *hcLogger) Warn(msg string, args ...any) { h.Log(hclog.Warn, msg, args...) }

// Error writes at error level.
func (h *hcLogger) Error(msg string, args ...any) { h.Log(hclog.Error, msg, args...) }

// IsTrace is false: nothing is traced.
func (h *hcLogger) IsTrace() bool { return false }

// IsDebug reports whether debug messages are written.
func (h *hcLogger) IsDebug() bool { return h.log.Core().Enabled(zapcore.DebugLevel) }

// IsInfo reports whether info messages are written.
func (h *hcLogger) IsInfo() bool { return h.log.Core().Enabled(zapcore.InfoLevel) }

// IsWarn reports whether warnings are written.
func (h *hcLogger) IsWarn() bool { return h.log.Core().Enabled(zapcore.WarnLevel) }

// IsError reports whether errors are written.
func (h *hcLogger) IsError() bool { return h.log.Core().Enabled(zapcore.ErrorLevel) }

// ImpliedArgs returns the arguments given by With.
func (h *hcLogger) ImpliedArgs() []any { return h.args }

// With returns a logger that adds args to each message.
func (h *hcLogger) With(args ...any) hclog.Logger {
	c := *h
	c.args = append(append([]any(nil), h.args...), args...)
	return &c
}

// Name returns the logger's name.
func (h *hcLogger) Name() string { return h.name }

// Named returns a logger with name appended.
func (h *hcLogger) Named(name string) hclog.Logger {
	c := *h
	c.name, c.log = name, h.log.Named(name)
	return &c
}

// ResetNamed returns a logger with the given name.
func (h *hcLogger) ResetNamed(name string) hclog.Logger { return h.Named(name) }

// SetLevel does nothing: zap's core decides.
func (h *hcLogger) SetLevel(hclog.Level) {}

// GetLevel is informative only.
func (h *hcLogger) GetLevel() hclog.Level { return hclog.NoLevel }

// StandardLogger returns a logger of the standard library.
func (h *hcLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return zap.NewStdLog(h.log)
}

// StandardWriter returns the writer of StandardLogger.
func (h *hcLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
