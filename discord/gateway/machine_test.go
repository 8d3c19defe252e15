package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/botnode/botnode/discord"
)

var update = flag.Bool("update", false, "rewrite the golden traces")

// testConfig has round numbers: 10 s, 20 s, 30 s, 2 s, first heartbeat after half.
var testConfig = Config{
	HelloTimeout: 10 * time.Second, ReadyTimeout: 20 * time.Second,
	ResumedTimeout: 30 * time.Second, CloseTimeout: 2 * time.Second, Jitter: 0.5,
}

// TestTraces plays testdata/*.trace: lines "> time input" and what came of them.
// "+N" is N seconds after the line before; "run" ticks at each deadline until then.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, want)
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// player is a machine with the clock of its trace.
type player struct {
	m   *Machine
	at  Moment
	out bytes.Buffer
}

func play(t *testing.T, trace []byte) []byte {
	p := &player{m: NewMachine(testConfig)}
	for sc := bufio.NewScanner(bytes.NewReader(trace)); sc.Scan(); {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&p.out, line)
			p.line(t, strings.Fields(line[2:]))
		case strings.HasPrefix(line, "#"), line == "":
			fmt.Fprintln(&p.out, line)
		}
	}
	return p.out.Bytes()
}

func (p *player) line(t *testing.T, words []string) {
	d := seconds(t, strings.TrimPrefix(words[0], "+"))
	switch words[1] {
	case "run":
		for end := p.at.Now + d; ; {
			next := p.m.NextDeadline(p.at.Paused)
			if next > end {
				p.at.Now = end
				return
			}
			p.at.Now = max(next, p.at.Now+time.Millisecond)
			p.step(Input{Kind: InTick})
		}
	case "pause":
		p.at.Now += d
		p.at.Paused += d
		p.step(Input{Kind: InTick})
	default:
		p.at.Now += d
		p.step(input(t, words[1:]))
	}
}

func (p *player) step(in Input) {
	before := p.m.State()
	for _, o := range p.m.Step(p.at, in) {
		fmt.Fprintf(&p.out, "  %6.2fs %s\n", p.at.Now.Seconds(), show(o))
	}
	if after := p.m.State(); after != before {
		fmt.Fprintf(&p.out, "  %6.2fs -> %v\n", p.at.Now.Seconds(), after)
	}
}

func seconds(t *testing.T, s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(f * float64(time.Second))
}

func input(t *testing.T, words []string) Input {
	in := Input{}
	switch words[0] {
	case "hello":
		in = Input{Kind: InHello, Interval: seconds(t, words[1])}
	case "event":
		in = Input{Kind: InDispatch, Type: words[1]}
	case "beat?":
		in.Kind = InBeatRequest
	case "ack":
		in.Kind = InAck
	case "reconnect":
		in.Kind = InReconnect
	case "invalid":
		in = Input{Kind: InInvalid, Resumable: words[1] == "true"}
	case "other":
		in.Kind = InOther
	case "resume":
		in.Kind = InResume
	case "identify":
		in.Kind = InIdentify
	case "drop":
		in.Kind = InDrop
	case "close-session":
		in.Kind = InCloseSession
	case "tick":
		in.Kind = InTick
	case "write-failed":
		in = Input{Kind: InWriteFailed, Closure: Closure{Cause: CauseWrite, Err: errors.New("broken pipe")}}
	case "ended":
		in = Input{Kind: InEnded, Closure: Closure{Cause: CauseLost}}
		if len(words) > 1 {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			code := discord.CloseCode(n)
			in.Closure = Closure{Code: code, Cause: CauseCloseFrame, Verdict: code.Verdict()}
		}
	default:
		t.Fatalf("unknown input %q", words[0])
	}
	return in
}

func show(o Output) string {
	switch o.Do {
	case DoHello:
		return fmt.Sprintf("report hello %v", o.Duration)
	case DoDispatch:
		return "report event"
	case DoInvalid:
		return fmt.Sprintf("report invalid session %v", o.Resumable)
	case DoReconnect:
		return "report reconnect"
	case DoLatency:
		return fmt.Sprintf("report latency %v", o.Duration)
	case DoOther:
		return "report other"
	case DoClosed:
		c := o.Closure
		return fmt.Sprintf("report closed: %s, code %d, %v", c.Cause, int(c.Code), c.Verdict)
	case DoBeat:
		return "write heartbeat"
	case DoResume:
		return "write resume"
	case DoIdentify:
		return "write identify"
	case DoClose:
		return "write close 1000"
	case DoDrop:
		return "end tcp"
	case DoIgnore:
		return "ignore"
	}
	return "?"
}

// TestMachineHoldsAlways feeds random inputs, and checks what must hold whatever
// happens: one Closed, nothing after it, 1000 only when ordered, one op 2 or 6 a
// permission (HELLO, or op 9), and heartbeats that never stop while open.
func TestMachineHoldsAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMachine(testConfig)
		at, w := Moment{}, watcher{}
		kinds := []InputKind{
			InHello, InDispatch, InBeatRequest, InReconnect, InInvalid, InAck, InOther,
			InResume, InIdentify, InTick, InTick, InTick, InAck, InDispatch,
		}
		rare := []InputKind{InDrop, InCloseSession, InFail, InEnded, InWriteFailed}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			d := time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond
			at.Now += d
			if rapid.IntRange(0, 3).Draw(t, "pause") == 0 {
				at.Paused += d
			}
			from := kinds
			if rapid.IntRange(0, 40).Draw(t, "rare") == 0 {
				from = rare
			}
			in := Input{
				Kind:      rapid.SampledFrom(from).Draw(t, "kind"),
				Interval:  time.Duration(rapid.IntRange(0, 20).Draw(t, "interval")) * time.Second,
				Type:      rapid.SampledFrom([]string{"READY", "RESUMED", "MESSAGE_CREATE"}).Draw(t, "type"),
				Resumable: rapid.Bool().Draw(t, "resumable"),
				Closure:   Closure{Cause: CauseLost},
			}
			w.check(t, m, at, in)
		}
	})
}

type watcher struct {
	closed, allowed bool
	ordered         bool // CloseSession
}

func (w *watcher) check(t *rapid.T, m *Machine, at Moment, in Input) {
	before := m.State()
	w.ordered = w.ordered || in.Kind == InCloseSession
	if before == WaitHello && in.Kind == InHello {
		w.allowed = true
	}
	for _, o := range m.Step(at, in) {
		if w.closed {
			t.Fatalf("%s after closed", show(o))
		}
		switch o.Do {
		case DoClosed:
			w.closed = true
			if in.Kind != InEnded {
				t.Fatal("closed before the reader had ended")
			}
		case DoClose:
			if !w.ordered {
				t.Fatal("1000 that nobody ordered")
			}
		case DoResume, DoIdentify:
			if !w.allowed {
				t.Fatal("an order without a permission")
			}
			w.allowed = false
		case DoInvalid:
			w.allowed = before != WaitHello
		}
	}
	if in.Kind == InEnded && !w.closed {
		t.Fatal("ended without a report")
	}
	switch m.State() {
	case Closed:
	case WaitHello, Idle, Identifying, Resuming, Live, Closing:
		if m.NextDeadline(at.Paused) == never {
			t.Fatalf("%v has no deadline", m.State())
		}
	}
}
