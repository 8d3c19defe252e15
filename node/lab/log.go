package lab

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// untilOver is a log that ends with its process: what a killed one finds out
// about its sockets is nobody's business.
func untilOver(log *zap.Logger, over *atomic.Bool) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return &processCore{c, over} }))
}

type processCore struct {
	zapcore.Core
	over *atomic.Bool
}

// Enabled implements zapcore.LevelEnabler.
func (c *processCore) Enabled(l zapcore.Level) bool { return !c.over.Load() && c.Core.Enabled(l) }

// With implements zapcore.Core.
func (c *processCore) With(fields []zapcore.Field) zapcore.Core {
	return &processCore{c.Core.With(fields), c.over}
}

// Check implements zapcore.Core.
func (c *processCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return c.Core.Check(e, to)
	}
	return to
}
