package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/rest"
)

// onMessage answers "!ping X" and "!file X". The nonce makes a repeat harmless.
func (p *pinger) onMessage(e *events.MessageCreate) {
	if e.Message.Author.Bot {
		return
	}
	answer := discord.NewMessageCreate().WithNonce(e.MessageID.String()).WithEnforceNonce(true)
	send := func(m discord.MessageCreate) error {
		_, err := e.Client().Rest.CreateMessage(e.ChannelID, m)
		return err
	}
	if x, ok := p.argument(e.Message.Content, "!ping "); ok {
		fmt.Println("got", x)
		done("sent", x, persist(x, func() error { return send(answer.WithContent("pong " + x)) }))
	} else if x, ok := p.argument(e.Message.Content, "!file "); ok {
		done("uploaded", x, persist(x, func() error {
			file := discord.NewFile(x+".bin", "", bytes.NewReader(make([]byte, 1<<20)))
			return send(answer.WithContent("file " + x).WithFiles(file))
		}))
	}
}

// argument is what follows a command word, if it is this bot's to answer.
func (p *pinger) argument(content, word string) (string, bool) {
	x, ok := strings.CutPrefix(content, word)
	return x, ok && (p.tag == "" || strings.HasPrefix(x, p.tag+"-"))
}

// persist sends until Discord has answered. disgo repeats a request after a 429,
// not after a 5xx or a broken connection.
func persist(what string, send func() error) error {
	for i := 0; ; i++ {
		err := send()
		no := (*rest.Error)(nil)
		if err == nil || errors.As(err, &no) && no.Response.StatusCode < 500 || i == 300 {
			return err
		}
		fmt.Println("repeat", what, err)
		time.Sleep(100 * time.Millisecond)
	}
}

// done tells what became of an answer.
func done(word, x string, err error) {
	if err != nil {
		fmt.Println("failed", x, err)
		return
	}
	fmt.Println(word, x)
}
