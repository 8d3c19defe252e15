package botnode_test

import (
	"fmt"

	dgo "github.com/disgoorg/disgo/discord"

	"github.com/botnode/botnode"
)

// A poll: a command with an option, buttons that carry the poll in their
// custom_id, and a count that no failure changes.
func ExampleBot_Command() {
	bot := botnode.New()
	bot.Command(dgo.SlashCommandCreate{
		Name: "poll", Description: "Ask everybody",
		Options: []dgo.ApplicationCommandOption{
			dgo.ApplicationCommandOptionString{Name: "question", Description: "What to ask", Required: true},
		},
	}, func(i *botnode.Interaction) error {
		id := i.ID().String()
		return i.Respond(dgo.MessageCreate{
			Content: i.Options().String("question"),
			Components: []dgo.LayoutComponent{dgo.NewActionRow(
				dgo.NewPrimaryButton("Yes", "vote/"+id+"/yes"), dgo.NewSecondaryButton("No", "vote/"+id+"/no"),
			)},
		})
	})
	bot.Component("vote/{poll}/{choice}", func(i *botnode.Interaction) error {
		n, err := i.KV().Increment("poll/"+i.Var("poll")+"/"+i.Var("choice"), 1)
		if err != nil {
			return err
		}
		return i.RespondEphemeral(fmt.Sprintf("You are number %d to say %s.", n, i.Var("choice")))
	})
	// botnode.Main(bot) starts it; the cluster registers the command.
}
