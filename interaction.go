package botnode

import (
	dgo "github.com/disgoorg/disgo/discord"
)

// Interaction is one handler's turn at a command, a component, a modal or an
// autocompletion. It has the methods of Context and those of disgo's
// Interaction: User, Member, GuildID, Channel, Locale and so on.
//
// An interaction has one answer, within three seconds: Respond, Reply,
// RespondEphemeral, Modal, UpdateMessage, Choices, or Defer and DeferUpdate,
// after which Edit fills the answer in. Each of these may be repeated by
// another node after a death without showing twice. FollowUp sends further
// messages, which have no such protection.
type Interaction struct {
	*Context
	dgo.Interaction

	vars map[string]string
}

// Options returns the options that a slash command was run with; without any
// for other interactions. Its methods return them by name and type.
func (i *Interaction) Options() dgo.SlashCommandInteractionData {
	if x, ok := i.Interaction.(dgo.ApplicationCommandInteraction); ok {
		if data, ok := x.Data.(dgo.SlashCommandInteractionData); ok {
			return data
		}
	}
	return dgo.SlashCommandInteractionData{}
}

// Completing returns the options of a slash command as far as they are filled
// in; Focused is the one to complete. Empty for other interactions.
func (i *Interaction) Completing() dgo.AutocompleteInteractionData {
	x, _ := i.Interaction.(dgo.AutocompleteInteraction)
	return x.Data
}

// Component returns what was used of a message's components, nil for other
// interactions.
func (i *Interaction) Component() dgo.ComponentInteractionData {
	x, _ := i.Interaction.(dgo.ComponentInteraction)
	return x.Data
}

// Message returns the message whose component was used, empty for other
// interactions.
func (i *Interaction) Message() dgo.Message {
	x, _ := i.Interaction.(dgo.ComponentInteraction)
	return x.Message
}

// Values returns what was chosen in a select menu of texts.
func (i *Interaction) Values() []string {
	if data, ok := i.Component().(dgo.StringSelectMenuInteractionData); ok {
		return data.Values
	}
	return nil
}

// Submitted returns what was entered in a modal, empty for other interactions.
func (i *Interaction) Submitted() dgo.ModalSubmitInteractionData {
	x, _ := i.Interaction.(dgo.ModalSubmitInteraction)
	return x.Data
}

// Var returns what stood in the custom_id for a name in the pattern's braces.
func (i *Interaction) Var(name string) string { return i.vars[name] }

// answer gives the interaction its answer.
func (i *Interaction) answer(t dgo.InteractionResponseType, data dgo.InteractionResponseData) error {
	client, err := i.REST()
	if err != nil {
		return err
	}
	return client.CreateInteractionResponse(i.ID(), i.Token(), dgo.InteractionResponse{Type: t, Data: data})
}

// Respond answers with a message.
func (i *Interaction) Respond(m dgo.MessageCreate) error {
	return i.answer(dgo.InteractionResponseTypeCreateMessage, m)
}

// Reply answers with a text. It shadows Context.Reply, which would send a
// message that answers nothing.
func (i *Interaction) Reply(content string) error {
	return i.Respond(dgo.MessageCreate{Content: content})
}

// RespondEphemeral answers with a text that only the user sees.
func (i *Interaction) RespondEphemeral(content string) error {
	return i.Respond(dgo.MessageCreate{Content: content, Flags: dgo.MessageFlagEphemeral})
}

// Defer says that the answer takes longer, and whether only the user is to see
// it. Edit gives it, within 15 minutes.
func (i *Interaction) Defer(ephemeral bool) error {
	var data dgo.InteractionResponseData
	if ephemeral {
		data = dgo.MessageCreate{Flags: dgo.MessageFlagEphemeral}
	}
	return i.answer(dgo.InteractionResponseTypeDeferredCreateMessage, data)
}

// DeferUpdate accepts the use of a component without showing anything. Edit may
// change the component's message later.
func (i *Interaction) DeferUpdate() error {
	return i.answer(dgo.InteractionResponseTypeDeferredUpdateMessage, nil)
}

// UpdateMessage answers the use of a component by changing its message.
func (i *Interaction) UpdateMessage(m dgo.MessageUpdate) error {
	return i.answer(dgo.InteractionResponseTypeUpdateMessage, m)
}

// Modal answers by asking the user to fill in a form.
func (i *Interaction) Modal(m dgo.ModalCreate) error {
	return i.answer(dgo.InteractionResponseTypeModal, m)
}

// Choices answers an autocompletion with at most 25 choices.
func (i *Interaction) Choices(choices ...dgo.AutocompleteChoice) error {
	if choices == nil {
		choices = []dgo.AutocompleteChoice{} // null isn't a list
	}
	return i.answer(dgo.InteractionResponseTypeAutocompleteResult, dgo.AutocompleteResult{Choices: choices})
}

// Edit changes the answer, or gives it after Defer. Doing it again does no harm.
func (i *Interaction) Edit(m dgo.MessageUpdate) (*dgo.Message, error) {
	client, err := i.REST()
	if err != nil {
		return nil, err
	}
	return client.UpdateInteractionResponse(i.ApplicationID(), i.Token(), m)
}

// FollowUp sends a further message, within 15 minutes. If the handler runs
// again after a death, the message may appear twice: Discord has no nonce for
// it. What must not appear twice belongs into the answer.
func (i *Interaction) FollowUp(m dgo.MessageCreate) (*dgo.Message, error) {
	client, err := i.REST()
	if err != nil {
		return nil, err
	}
	return client.CreateFollowupMessage(i.ApplicationID(), i.Token(), m)
}
