// Command disgo is a disgo bot, as its users write them: it answers "!ping X"
// with "pong X", "!file X" with a file, and a slash command. API is the base URL
// without version, TOKEN the token or client key; it has one shard. With TAG the
// bot answers only what begins with it, so that several may live in one guild.
//
// What happens goes to standard output, a line each: see ../doc.go.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/disgoorg/disgo"
	"github.com/disgoorg/disgo/bot"
	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/events"
	"github.com/disgoorg/disgo/gateway"
	"github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/snowflake/v2"
)

func main() { os.Exit(run()) }

func run() int {
	p := &pinger{tag: os.Getenv("TAG"), guilds: map[snowflake.ID]bool{}}
	client, err := disgo.New(os.Getenv("TOKEN"),
		bot.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))),
		bot.WithRestClientConfigOpts(rest.WithURL(os.Getenv("API")+"/v10")),
		// The gateway's address comes from the API (Get Gateway).
		bot.WithGatewayConfigOpts(gateway.WithIntents(gateway.IntentGuilds, gateway.IntentGuildMessages, gateway.IntentMessageContent)),
		bot.WithEventManagerConfigOpts(bot.WithAsyncEventsEnabled()),
		bot.WithEventListenerFunc(func(*events.Ready) { fmt.Println("identified") }),
		bot.WithEventListenerFunc(func(*events.Resumed) { fmt.Println("resumed") }),
		bot.WithEventListenerFunc(p.onGuild),
		bot.WithEventListenerFunc(p.onMessage),
		bot.WithEventListenerFunc(p.onCommand),
	)
	if err == nil {
		err = p.open(client)
	}
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client.Close(ctx)
	return 0
}

// pinger is the bot.
type pinger struct {
	tag string

	mu     sync.Mutex // guards guilds
	guilds map[snowflake.ID]bool
}

// open connects and makes the command known.
func (p *pinger) open(client *bot.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.OpenGateway(ctx); err != nil {
		return err
	}
	err := persist("command", func() error {
		_, err := client.Rest.CreateGlobalCommand(client.ApplicationID, discord.SlashCommandCreate{
			Name: p.commandName(), Description: "Answers pong",
		})
		return err
	})
	if err == nil {
		fmt.Println("ready")
	}
	return err
}

// commandName is the name of the bot's slash command.
func (p *pinger) commandName() string {
	if p.tag != "" {
		return p.tag
	}
	return "ping"
}

func (p *pinger) onGuild(e *events.GuildReady) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.guilds[e.GuildID] = true
	fmt.Println("guilds", len(p.guilds))
}

func (p *pinger) onCommand(e *events.ApplicationCommandInteractionCreate) {
	if p.tag != "" && e.Data.CommandName() != p.tag {
		return
	}
	if err := e.CreateMessage(discord.NewMessageCreate().WithContent("pong")); err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("command", e.Data.CommandName())
}
