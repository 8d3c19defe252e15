package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/node/lab"
	"github.com/botnode/botnode/proxy"
)

// nodeID names the only node.
const nodeID = "dev"

// maxLine bounds a line of input.
const maxLine = 1 << 20

// session is one run.
type session struct {
	o     Options
	lab   *lab.Lab
	guild sim.ID
	// channels are those of the guild, in their order; current is written to.
	channels []channel
	current  channel
	fatal    chan error    // capacity 1
	proxy    *proxy.Server // nil for none

	out  sync.Mutex // guards Stdout, and what follows
	seen struct{ posted, requests int }
}

// channel is a text channel.
type channel struct {
	id   sim.ID
	name string
}

// start starts the node and waits until the bot is connected.
func start(ctx context.Context, o Options) (*session, error) {
	s := &session{o: o, fatal: make(chan error, 1)}
	log := s.logger()
	var err error
	s.lab, err = lab.New(lab.Options{
		Discord: sim.Options{
			Guilds: 1, Members: 10, Channels: 3, GlobalLimit: -1, NoRouteLimits: true, ReplayBuffer: -1,
		},
		Logger: func(string) *zap.Logger { return log },
		Program: func(string) node.Program {
			p := o.Program()
			return p.Program
		},
		Fatal: func(_ string, err error) {
			select {
			case s.fatal <- err:
			default:
			}
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	if err := errors.Join(s.lab.Add(ctx, nodeID), s.lab.WaitSettled(ctx)); err != nil {
		s.close()
		return nil, err
	}
	if err := s.openProxy(ctx, o.Proxy); err != nil {
		s.close()
		return nil, err
	}
	s.guild = s.lab.Discord().GuildIDs()[0]
	s.channels = channelsOf(s.lab.Discord(), s.guild)
	s.current = s.channels[0]
	return s, nil
}

func (s *session) close() {
	s.closeProxy()
	if err := s.lab.Close(); err != nil {
		_, _ = fmt.Fprintf(s.o.Stderr, "stopping: %v\n", err)
	}
}

// logger shows the node's warnings.
func (s *session) logger() *zap.Logger {
	enc := zap.NewDevelopmentEncoderConfig()
	enc.TimeKey, enc.NameKey = "", ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(zapcore.AddSync(s.o.Stderr)), zapcore.WarnLevel))
}

// lines reads the input on a goroutine that outlives the session if nobody
// closes the input: a read from a terminal can't be taken back.
func lines(ctx context.Context, r io.Reader) <-chan string {
	ch := make(chan string)
	go func() {
		defer close(ch)
		in := bufio.NewScanner(r)
		in.Buffer(nil, maxLine)
		for in.Scan() {
			select {
			case ch <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

// errQuit ends the session.
var errQuit = errors.New("quit")

// serve does what the lines say. Meanwhile it shows what the bot does by itself.
func (s *session) serve(ctx context.Context, in <-chan string) error {
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { s.follow(watch) })
	for {
		s.prompt()
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.fatal:
			return fmt.Errorf("the node can't go on: %w", err)
		case line, ok := <-in:
			if !ok && s.proxy == nil {
				return s.settle(ctx)
			}
			if !ok {
				in = nil // clients go on
				continue
			}
			if err := s.line(ctx, strings.TrimRight(line, "\r")); errors.Is(err, errQuit) {
				return nil
			} else if err != nil && ctx.Err() == nil {
				s.printf("! %v\n", err)
			}
		}
	}
}

// line does what one line says, and waits until the bot has handled it.
func (s *session) line(ctx context.Context, line string) error {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	if name, rest, ok := cutCommand(line); ok {
		if err := s.command(ctx, name, rest); err != nil {
			return err
		}
		return s.settle(ctx)
	}
	m, err := s.lab.Discord().Say(sim.Say{Channel: s.current.id, Content: line})
	if err != nil {
		return err
	}
	if m.Delivered == 0 {
		return errors.New("the bot doesn't hear that: do its Intents include those of guild messages?")
	}
	return s.settle(ctx)
}

// settle waits until everything has been handled, and shows what came of it.
func (s *session) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	err := s.lab.WaitSettled(ctx)
	s.show()
	return err
}
