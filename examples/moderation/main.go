// Command moderation is a bot that keeps order: /warn counts warnings in the
// replicated store, the third one of a member brings a time-out, /warnings lists
// them, and /timeout and /kick do what they say.
//
// The count is exact whatever dies meanwhile, since it commits with the handler's
// acknowledgement. What is done at Discord is worded so that doing it again, after
// a death, changes nothing: a time-out ends at a moment that the command fixes,
// and to kick somebody who is gone is no error.
package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/omit"
	"github.com/disgoorg/snowflake/v2"

	"github.com/botnode/botnode"
)

const (
	tolerance = 3         // warnings until a member is timed out
	penalty   = time.Hour // for how long
)

func main() { botnode.Main(newBot()) }

func newBot() *botnode.Bot {
	b := botnode.New()
	b.Command(command("warn", "Warn a member", discord.PermissionModerateMembers, discord.ApplicationCommandOptionString{
		Name: "reason", Description: "What for", Required: true,
	}), warn)
	b.Command(command("warnings", "List a member's warnings", discord.PermissionModerateMembers), warnings)
	b.Command(command("timeout", "Silence a member", discord.PermissionModerateMembers, discord.ApplicationCommandOptionInt{
		Name: "minutes", Description: "For how long", Required: true,
	}), timeout)
	b.Command(command("kick", "Remove a member", discord.PermissionKickMembers), kick)
	return b
}

// command defines a command about a member, for those with a permission.
func command(name, text string, need discord.Permissions, more ...discord.ApplicationCommandOption) discord.SlashCommandCreate {
	return discord.SlashCommandCreate{
		Name: name, Description: text, Contexts: []discord.InteractionContextType{discord.InteractionContextTypeGuild},
		DefaultMemberPermissions: omit.NewPtr(need),
		Options: append([]discord.ApplicationCommandOption{
			discord.ApplicationCommandOptionUser{Name: "user", Description: "Whom", Required: true},
		}, more...),
	}
}

// target is the member that a command is about.
type target struct {
	guild snowflake.ID
	user  discord.User
}

func targetOf(i *botnode.Interaction) target {
	return target{guild: *i.GuildID(), user: i.Options().User("user")}
}

// count is the key of a member's number of warnings; reasons is the prefix of
// those of their reasons, in order.
func (t target) count() string   { return fmt.Sprintf("warnings/%d/%d", t.guild, t.user.ID) }
func (t target) reasons() string { return fmt.Sprintf("reasons/%d/%d/", t.guild, t.user.ID) }

func warn(i *botnode.Interaction) error {
	t, reason := targetOf(i), i.Options().String("reason")
	n, err := i.KV().Increment(t.count(), 1)
	if err != nil {
		return err
	}
	if err := i.KV().Put(fmt.Sprintf("%s%06d", t.reasons(), n), []byte(reason)); err != nil {
		return err
	}
	answer := fmt.Sprintf("%s has warning %d: %s", t.user.Username, n, reason)
	if n%tolerance == 0 {
		if err := t.silence(i, penalty); err != nil {
			return err
		}
		answer += fmt.Sprintf("; silenced for %v", penalty)
	}
	return i.Reply(answer)
}

func warnings(i *botnode.Interaction) error {
	t := targetOf(i)
	var list []string
	for _, reason := range i.KV().List(t.reasons()) {
		list = append(list, fmt.Sprintf("%d. %s", len(list)+1, reason))
	}
	if len(list) == 0 {
		list = []string{t.user.Username + " has no warnings"}
	}
	return i.RespondEphemeral(strings.Join(list, "\n"))
}

func timeout(i *botnode.Interaction) error {
	t, long := targetOf(i), time.Duration(i.Options().Int("minutes"))*time.Minute
	if err := t.silence(i, long); err != nil {
		return err
	}
	return i.Reply(fmt.Sprintf("%s is silenced for %v", t.user.Username, long))
}

// silence times a member out, from the moment of the command on: a repeat of the
// handler sets the same end.
func (t target) silence(i *botnode.Interaction, long time.Duration) error {
	api, err := i.REST()
	if err != nil {
		return err
	}
	_, err = api.UpdateMember(t.guild, t.user.ID, discord.MemberUpdate{
		CommunicationDisabledUntil: omit.NewPtr(i.ID().Time().Add(long)),
	})
	return err
}

func kick(i *botnode.Interaction) error {
	t := targetOf(i)
	api, err := i.REST()
	if err != nil {
		return err
	}
	err = api.RemoveMember(t.guild, t.user.ID)
	if err != nil && !rest.IsJSONErrorCode(err, rest.JSONErrorCodeUnknownMember) { // an attempt whose node died may have done it
		return err
	}
	return i.Reply(t.user.Username + " is gone")
}
