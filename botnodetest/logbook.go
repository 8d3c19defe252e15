package botnodetest

import (
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// lastLines is how many lines of the nodes' logs are kept.
const lastLines = 200

// logbook keeps the last lines that the nodes have logged, for a report.
type logbook struct {
	mu    sync.Mutex // guards what follows
	lines []string
}

// logger makes the log of a node.
func (b *logbook) logger(string) *zap.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	enc.EncodeName = nil
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.AddSync(b), zapcore.InfoLevel))
}

// Write keeps a line.
func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == lastLines {
		b.lines = append(b.lines[:0], b.lines[1:]...)
	}
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

// report appends what was kept.
func (b *logbook) report(to *strings.Builder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	to.WriteString("the nodes' logs, from info on:\n")
	for _, line := range b.lines {
		to.WriteString("  " + line)
	}
}
