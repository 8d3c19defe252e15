// Command discordgo is a discordgo bot, as its users write them: it answers
// "!ping X" with "pong X", "!file X" with a file, and a slash command. API is the
// base URL without version, TOKEN the token or client key, SHARD_TOTAL the number of
// shards. With TAG the bot answers only what begins with it, so that several may
// live in one guild.
//
// What happens goes to standard output, a line each: see ../doc.go.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/bwmarrin/discordgo"
)

func main() { os.Exit(run()) }

func run() int {
	setEndpoints(os.Getenv("API"))
	b := &bot{tag: os.Getenv("TAG"), guilds: map[string]bool{}}
	shards, _ := strconv.Atoi(os.Getenv("SHARD_TOTAL"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	var sessions []*discordgo.Session
	for shard := range max(1, shards) {
		s, err := b.open(shard, max(1, shards))
		if err != nil {
			fmt.Println("error", err)
			return 1
		}
		sessions = append(sessions, s)
	}
	if err := b.register(sessions[0]); err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("ready")
	<-stop
	for _, s := range sessions {
		_ = s.Close()
	}
	return 0
}

// bot is what the sessions of all shards share.
type bot struct {
	tag string

	mu     sync.Mutex // guards guilds
	guilds map[string]bool
}

func (b *bot) open(shard, shards int) (*discordgo.Session, error) {
	s, err := discordgo.New("Bot " + os.Getenv("TOKEN"))
	if err != nil {
		return nil, err
	}
	s.ShardID, s.ShardCount = shard, shards
	s.Identify.Intents = discordgo.IntentsGuilds | discordgo.IntentsGuildMessages | discordgo.IntentMessageContent
	s.AddHandler(func(*discordgo.Session, *discordgo.Ready) { fmt.Println("identified") })
	s.AddHandler(func(*discordgo.Session, *discordgo.Resumed) { fmt.Println("resumed") })
	s.AddHandler(func(*discordgo.Session, *discordgo.Disconnect) { fmt.Println("disconnected") })
	s.AddHandler(b.onGuild)
	s.AddHandler(b.onMessage)
	s.AddHandler(b.onInteraction)
	err = s.Open()
	for i := 0; err != nil && i < 20; i++ { // op 9 while another shard identifies
		time.Sleep(300 * time.Millisecond)
		err = s.Open()
	}
	return s, err
}

// commandName is the name of the bot's slash command.
func (b *bot) commandName() string {
	if b.tag != "" {
		return b.tag
	}
	return "ping"
}

func (b *bot) register(s *discordgo.Session) error {
	return persist("command", func() error {
		_, err := s.ApplicationCommandCreate(s.State.User.ID, "", &discordgo.ApplicationCommand{
			Name: b.commandName(), Description: "Answers pong",
		})
		return err
	})
}

func (b *bot) onGuild(_ *discordgo.Session, g *discordgo.GuildCreate) {
	if g.Unavailable {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guilds[g.ID] = true
	fmt.Println("guilds", len(b.guilds))
}

func (b *bot) onInteraction(s *discordgo.Session, i *discordgo.InteractionCreate) {
	if i.Type != discordgo.InteractionApplicationCommand || b.tag != "" && i.ApplicationCommandData().Name != b.tag {
		return
	}
	err := s.InteractionRespond(i.Interaction, &discordgo.InteractionResponse{
		Type: discordgo.InteractionResponseChannelMessageWithSource,
		Data: &discordgo.InteractionResponseData{Content: "pong"},
	})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("command", i.ApplicationCommandData().Name)
}
