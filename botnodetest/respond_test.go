package botnodetest_test

import (
	disgodiscord "github.com/disgoorg/disgo/discord"
	"github.com/disgoorg/disgo/rest"
	"github.com/disgoorg/snowflake/v2"
)

// respond answers an interaction with a message.
func respond(r rest.Rest, id, token, content string) error {
	return r.CreateInteractionResponse(snowflake.MustParse(id), token, disgodiscord.InteractionResponse{
		Type: disgodiscord.InteractionResponseTypeCreateMessage,
		Data: disgodiscord.MessageCreate{Content: content},
	})
}
