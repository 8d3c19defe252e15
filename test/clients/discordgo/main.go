// Command discordgo is a discordgo bot, as its users write them: it answers
// "!ping N" with "pong N" and the command "ping". API is the base URL without
// version, TOKEN the token, SHARDS the number of shards.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bwmarrin/discordgo"
)

func main() { os.Exit(run()) }

func run() int {
	setEndpoints(os.Getenv("API"))
	shards, _ := strconv.Atoi(os.Getenv("SHARDS"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	var sessions []*discordgo.Session
	for shard := range max(1, shards) {
		s, err := open(shard, max(1, shards))
		if err != nil {
			fmt.Println("error", err)
			return 1
		}
		sessions = append(sessions, s)
	}
	<-stop
	for _, s := range sessions {
		_ = s.Close()
	}
	return 0
}

func open(shard, shards int) (*discordgo.Session, error) {
	s, err := discordgo.New("Bot " + os.Getenv("TOKEN"))
	if err != nil {
		return nil, err
	}
	s.ShardID, s.ShardCount = shard, shards
	s.Identify.Intents = discordgo.IntentsGuilds | discordgo.IntentsGuildMessages | discordgo.IntentMessageContent
	s.AddHandler(func(_ *discordgo.Session, r *discordgo.Ready) {
		fmt.Printf("ready %s guilds=%d\n", r.User.Username, len(r.Guilds))
	})
	s.AddHandler(func(*discordgo.Session, *discordgo.Resumed) { fmt.Println("resumed") })
	s.AddHandler(func(*discordgo.Session, *discordgo.Disconnect) { fmt.Println("disconnected") })
	s.AddHandler(func(s *discordgo.Session, m *discordgo.MessageCreate) {
		n, ping := strings.CutPrefix(m.Content, "!ping ")
		if m.Author.Bot || !ping {
			return
		}
		if _, err := s.ChannelMessageSend(m.ChannelID, "pong "+n); err != nil {
			fmt.Println("error", err)
		}
	})
	s.AddHandler(func(s *discordgo.Session, i *discordgo.InteractionCreate) {
		_ = s.InteractionRespond(i.Interaction, &discordgo.InteractionResponse{
			Type: discordgo.InteractionResponseChannelMessageWithSource,
			Data: &discordgo.InteractionResponseData{Content: "pong"},
		})
	})
	err = s.Open()
	for i := 0; err != nil && i < 20; i++ { // op 9 while another shard identifies
		time.Sleep(300 * time.Millisecond)
		err = s.Open()
	}
	return s, err
}
