package gateway

import (
	"errors"
	"math"
	"time"

	"github.com/botnode/botnode/discord"
)

// never is a deadline that does not come.
const never = time.Duration(math.MaxInt64)

// Bounds of the heartbeat interval that a HELLO may ask for. Without the upper
// one a wrong HELLO would make a shard silent for ever.
const (
	minInterval = 10 * time.Millisecond
	maxInterval = 10 * time.Minute
)

// State is where a connection is in its life; the package comment draws it.
type State int

// The states of a connection.
const (
	WaitHello State = iota
	Idle
	Identifying
	Resuming
	Live
	Closing
	Closed
)

// String names the state for logs.
func (s State) String() string {
	names := [...]string{"wait hello", "idle", "identifying", "resuming", "live", "closing", "closed"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Moment is a reading of the clock, relative to the start of the connection.
type Moment struct {
	// Now is monotonic time.
	Now time.Duration
	// Paused is how much of Now passed while nothing could be read: inside the
	// Sink, or with the process stopped. Deadlines run on Now - Paused.
	Paused time.Duration
}

// reading is the time that was spent able to read.
func (at Moment) reading() time.Duration { return at.Now - at.Paused }

// Config is the fixed part of a Machine.
type Config struct {
	HelloTimeout   time.Duration // from the start to HELLO
	ReadyTimeout   time.Duration // from IDENTIFY to READY
	ResumedTimeout time.Duration // from RESUME, or the last replayed event, to the next or RESUMED
	CloseTimeout   time.Duration // from our close frame to the end of the connection
	Jitter         float64       // in [0, 1): the part of an interval before the first heartbeat
}

// Machine is the protocol of one connection, without clock, socket or goroutine.
// The zero Machine is not usable; see NewMachine.
type Machine struct {
	cfg   Config
	state State
	at    Moment
	out   []Output

	due      time.Duration // reading time by which the state must have been left
	interval time.Duration // 0 before HELLO
	beatDue  time.Duration // Now of the next heartbeat; never before HELLO
	ackDue   time.Duration // reading time by which the oldest unanswered heartbeat must be answered
	sent     time.Duration // reading time of the newest heartbeat
	closeDue time.Duration // Now by which Closing must have ended; never in other states
	held     Input         // an order that came before HELLO; Kind 0 if there is none
	closure  Closure       // meaningful in Closing and Closed
	reported bool          // Closed was reported
}

// NewMachine is a connection whose handshake ended at moment zero.
func NewMachine(cfg Config) *Machine {
	return &Machine{cfg: cfg, due: cfg.HelloTimeout, beatDue: never, ackDue: never, closeDue: never}
}

// State is the present state.
func (m *Machine) State() State { return m.state }

// Interval is the heartbeat interval, 0 before HELLO.
func (m *Machine) Interval() time.Duration { return m.interval }

// NextDeadline is the earliest Now at which a Tick may have an effect. It assumes
// that no more time is paused; a Tick that finds it was too early costs nothing.
func (m *Machine) NextDeadline(paused time.Duration) time.Duration {
	next := min(m.beatDue, m.closeDue)
	for _, d := range [...]time.Duration{m.due, m.ackDue} {
		if d != never {
			next = min(next, d+paused)
		}
	}
	return next
}

// Step feeds one input. The outputs are valid until the next Step, and are to be
// carried out in order. Time must not run backwards.
func (m *Machine) Step(at Moment, in Input) []Output {
	m.at, m.out = at, m.out[:0]
	switch m.state {
	case WaitHello:
		m.stepWaitHello(in)
	case Idle:
		m.stepIdle(in)
	case Identifying:
		m.stepIdentifying(in)
	case Resuming:
		m.stepResuming(in)
	case Live:
		m.stepOpen(in)
	case Closing:
		m.stepClosing(in)
	case Closed:
		m.stepClosed(in)
	}
	return m.out
}

func (m *Machine) stepWaitHello(in Input) {
	switch in.Kind {
	case InHello:
		m.hello(in)
	case InIdentify, InResume:
		m.held = in
	case InTick:
		if m.at.reading() >= m.due {
			m.end(Closure{Cause: CauseNoHello})
		}
	default:
		m.stepOpen(in)
	}
}

func (m *Machine) hello(in Input) {
	if in.Interval <= 0 {
		m.end(Closure{Cause: CauseMalformed, Err: errHello})
		return
	}
	m.interval = min(max(in.Interval, minInterval), maxInterval)
	m.beatDue = m.at.Now + time.Duration(m.cfg.Jitter*float64(m.interval))
	m.enter(Idle, never)
	m.emit(Output{Do: DoHello, Duration: m.interval})
	if m.held.Kind != 0 {
		m.stepIdle(m.held)
		m.held = Input{}
	}
}

func (m *Machine) stepIdle(in Input) {
	switch in.Kind {
	case InIdentify:
		m.enter(Identifying, m.at.reading()+m.cfg.ReadyTimeout)
		m.emit(Output{Do: DoIdentify, Order: in.Order})
	case InResume:
		m.enter(Resuming, m.at.reading()+m.cfg.ResumedTimeout)
		m.emit(Output{Do: DoResume, Order: in.Order})
	default:
		m.stepOpen(in)
	}
}

func (m *Machine) stepIdentifying(in Input) {
	switch {
	case in.Kind == InDispatch && in.Type == discord.EventReady:
		m.enter(Live, never)
	case in.Kind == InTick && m.at.reading() >= m.due:
		m.end(Closure{Cause: CauseNoReady})
		return
	}
	m.stepOpen(in)
}

func (m *Machine) stepResuming(in Input) {
	switch {
	case in.Kind == InDispatch && in.Type == discord.EventResumed:
		m.enter(Live, never)
	case in.Kind == InDispatch:
		m.due = m.at.reading() + m.cfg.ResumedTimeout
	case in.Kind == InTick && m.at.reading() >= m.due:
		m.end(Closure{Cause: CauseNoResumed})
		return
	}
	m.stepOpen(in)
}

// stepOpen is the state Live, and what the other open states share with it.
func (m *Machine) stepOpen(in Input) {
	switch in.Kind {
	case InDispatch:
		m.emit(Output{Do: DoDispatch})
	case InTick:
		m.tick()
	case InBeatRequest:
		m.beat()
	case InAck:
		m.ack()
	case InReconnect:
		m.emit(Output{Do: DoReconnect})
	case InInvalid:
		if m.state != WaitHello {
			m.enter(Idle, never)
		}
		m.emit(Output{Do: DoInvalid, Resumable: in.Resumable})
	case InOther:
		m.emit(Output{Do: DoOther})
	case InFail, InEnded:
		m.end(in.Closure)
		m.report(in.Kind)
	case InDrop:
		m.end(Closure{Cause: CauseDropped})
	case InWriteFailed:
		m.closing(in.Closure)
	case InCloseSession:
		m.closing(Closure{
			Code: discord.CloseNormal, Cause: CauseSessionClosed, Verdict: discord.VerdictNewSession,
		})
		m.emit(Output{Do: DoClose})
	case InHello, InIdentify, InResume:
		m.emit(Output{Do: DoIgnore})
	}
}

// closing waits for the other side to end the connection: after our close frame,
// and after a failed write, because a close frame that explains the failure may
// still lie unread in the socket.
func (m *Machine) closing(c Closure) {
	m.closure = c
	m.beatDue, m.ackDue = never, never
	m.enter(Closing, never)
	// On the whole clock, or a Sink that blocks would keep the socket.
	m.closeDue = m.at.Now + m.cfg.CloseTimeout
}

// stepClosing discards what still arrives: the session is to end, or its events
// will be replayed.
func (m *Machine) stepClosing(in Input) {
	switch in.Kind {
	case InTick:
		if m.at.Now >= m.closeDue {
			m.end(m.closure)
		}
	case InDrop, InWriteFailed:
		m.end(m.closure)
	case InFail, InEnded:
		if m.closure.Cause == CauseWrite && in.Closure.Cause == CauseCloseFrame {
			m.closure = in.Closure
		}
		m.end(m.closure)
		m.report(in.Kind)
	}
}

func (m *Machine) stepClosed(in Input) { m.report(in.Kind) }

// tick lets heartbeats and their answers fall due.
func (m *Machine) tick() {
	if m.at.reading() >= m.ackDue {
		m.end(Closure{Cause: CauseZombie})
		return
	}
	if m.at.Now < m.beatDue {
		return
	}
	m.beatDue += m.interval
	if m.beatDue <= m.at.Now {
		m.beatDue = m.at.Now + m.interval
	}
	m.beat()
}

func (m *Machine) beat() {
	m.sent = m.at.reading()
	if m.ackDue == never && m.interval > 0 {
		m.ackDue = m.sent + m.interval
	}
	m.emit(Output{Do: DoBeat})
}

func (m *Machine) ack() {
	if m.ackDue == never {
		return // nobody asked, or it is the second answer to one
	}
	m.ackDue = never
	m.emit(Output{Do: DoLatency, Duration: m.at.reading() - m.sent})
}

// end decides how the connection ends. The first decision stands.
func (m *Machine) end(c Closure) {
	m.closure = c
	m.beatDue, m.ackDue, m.closeDue = never, never, never
	m.enter(Closed, never)
	m.emit(Output{Do: DoDrop})
}

// report says Closed, once, when the reader has ended and nothing can follow.
func (m *Machine) report(k InputKind) {
	if k == InEnded && !m.reported {
		m.reported = true
		m.emit(Output{Do: DoClosed, Closure: m.closure})
	}
}

func (m *Machine) enter(s State, due time.Duration) { m.state, m.due = s, due }

func (m *Machine) emit(o Output) { m.out = append(m.out, o) }

var errHello = errors.New("hello without a heartbeat interval")
