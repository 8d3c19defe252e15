package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bwmarrin/discordgo"
)

// onMessage answers "!ping X" and "!file X".
func (b *bot) onMessage(s *discordgo.Session, m *discordgo.MessageCreate) {
	if m.Author == nil || m.Author.Bot {
		return
	}
	if x, ok := b.argument(m.Content, "!ping "); ok {
		fmt.Println("got", x)
		done("sent", x, persist(x, func() error {
			_, err := s.ChannelMessageSend(m.ChannelID, "pong "+x, once(m))
			return err
		}))
	} else if x, ok := b.argument(m.Content, "!file "); ok {
		done("uploaded", x, persist(x, func() error {
			_, err := s.ChannelMessageSendComplex(m.ChannelID, &discordgo.MessageSend{
				Content: "file " + x,
				Files:   []*discordgo.File{{Name: x + ".bin", Reader: bytes.NewReader(make([]byte, 1<<20))}},
			}, once(m))
			return err
		}))
	}
}

// argument is what follows a command word, if it is this bot's to answer.
func (b *bot) argument(content, word string) (string, bool) {
	x, ok := strings.CutPrefix(content, word)
	return x, ok && (b.tag == "" || strings.HasPrefix(x, b.tag+"-"))
}

// once makes a request that answers a message one request for the proxy,
// however often it comes: discordgo 0.29 can't set the nonce of a message.
func once(m *discordgo.MessageCreate) discordgo.RequestOption {
	return discordgo.WithHeader("Botnode-Idempotency-Key", m.ID)
}

// persist sends until Discord has answered. discordgo repeats a request after a
// 502 and a 429, not after its connection broke.
func persist(what string, send func() error) error {
	for i := 0; ; i++ {
		err := send()
		no := (*discordgo.RESTError)(nil)
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
