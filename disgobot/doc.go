// Package disgobot runs an existing disgo bot on a cluster.
//
// A bot that is written against disgo's client keeps its listeners. Its main
// builds the client with New in place of disgo.New, and ends in botnode.Main in
// place of a wait for a signal:
//
//	b := botnode.New()
//	client, err := disgobot.New(b, token, options...)
//	...
//	err = client.OpenGateway(ctx) // as before; the node connects
//	...
//	botnode.Main(b)
//
// Its events then come from the replicated journal, its caches are the
// replicated ones, and its REST calls go through the node's limiter.
//
// # What holds
//
//   - Each event reaches the listeners at least once, on one node at a time, in
//     the order of its guild; again only after a death, a silence or a refused
//     call, as for any handler of botnode. It counts as handled when the
//     listeners have returned.
//   - What a listener does with event.Client().Rest, or with the event's own
//     methods that respond, belongs to the event: messages carry nonces, so that
//     a repeat shows nothing twice; the answer to an interaction counts once; and
//     a node that has lost the event to another sends nothing. If a call was
//     refused for that reason, the event is handled again, whatever the listener
//     made of the error.
//   - event.Client().Caches reads this node's replicated caches, also right after
//     a take-over. Events of updates and deletions carry the old object
//     (OldMember and the like) as it was before the event.
//   - A presence that is set is kept for later sessions; requests for members and
//     voice states go to the shard's owner.
//
// # What does not
//
//   - Goroutines that a listener starts, and listeners of a client with
//     asynchronous events: the event may count as handled before they have done
//     anything, so a death loses their work. Their calls after the listeners have
//     returned carry no nonces.
//   - A client in a variable: it works, but its calls belong to no event.
//   - Errors and panics of listeners: disgo takes no error and logs panics. The
//     event counts as handled.
//   - disgo runs the listeners of one client one after the other, whatever the
//     guild, here as without a cluster. The time that an event waits for others
//     counts for the handler's timeout: a listener that waits long belongs into a
//     handler of botnode's own, which may be registered beside.
//   - Caches are not written to by the bot; cache policies and flags of disgo have
//     no effect, botnode's configuration has. Thread members are not cached.
//   - GuildReady and GuildJoin are told apart by the time at which the bot joined.
//     GuildAvailable is reported as GuildReady, GuildsReady may come more than once.
//   - Ready comes once a session, not once a process; Resumed, HeartbeatAck and
//     raw events don't come. Gateway status and latency are not the node's.
//   - Waiting in a listener for what a later event of its guild brings, such as
//     all members of the guild: that event comes after the listener has returned.
//   - Voice connections belong to a process and end with it.
package disgobot
