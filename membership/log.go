package membership

import (
	"bytes"
	"log"
	"strings"

	"go.uber.org/zap"
)

// logWriter turns memberlist's lines into ours: one constant message, the text
// in a field. Two kinds of line also mean something: memberlist reports a
// suspicion in no other way than by a line of its log.
type logWriter struct {
	log     *zap.Logger
	suspect func(name string)
	mute    func() bool // true while closing, when every send fails
}

func (w *logWriter) logger() *log.Logger { return log.New(w, "", 0) }

// Write takes one line.
func (w *logWriter) Write(p []byte) (int, error) {
	level, text := splitLine(string(bytes.TrimSpace(p)))
	if name, ok := suspected(text); ok {
		w.suspect(name)
	}
	if w.mute() {
		return len(p), nil
	}
	switch level {
	case "ERR", "ERROR", "WARN":
		w.log.Warn("gossip trouble", zap.String("code", "gossip"), zap.String("detail", text))
	default:
		w.log.Debug("gossip", zap.String("detail", text))
	}
	return len(p), nil
}

// splitLine takes "[WARN] memberlist: text" apart.
func splitLine(s string) (level, text string) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		if l, t, ok := strings.Cut(rest, "] "); ok {
			level, s = l, t
		}
	}
	return level, strings.TrimPrefix(s, "memberlist: ")
}

// suspected recognises the line by which a suspicion of this node is reported.
func suspected(text string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(text, "Suspect ")
	if !ok {
		return "", false
	}
	name, _, ok = strings.Cut(rest, " has failed")
	return name, ok
}
