// Package clients has bots that are written with foreign Discord libraries,
// unmodified, and two trials for them.
//
// In the first they judge the simulator (judge_test.go): a discord.js and a
// discordgo bot each connect to a discordsim process, answer pings, and resume
// after cut connections with nothing lost.
//
// In the second the proxy is judged (proxy_test.go, direct_test.go): bots of discord.js, discordgo, disgo,
// oceanic.js and discord.py live side by side on a cluster of three botnode processes in front of the simulator,
// while nodes are killed with kill -9. The code of docs/any-language.md is run as it stands there
// (recipes_test.go).
//
// A library is in a folder of its own, as a module of its own (Go) or with a lock
// file (npm). It is configured by what it offers for that: a base URL, a
// token, options. A bot tells what happens to it on standard output, a line each:
//
//	ready            it is up, its command is known to Discord
//	guilds N         it has N guilds
//	identified       a session of it began (READY)
//	resumed          a session of it went on (RESUMED)
//	disconnected     a connection of it ended
//	got X            it received "!ping X"
//	sent X           Discord has answered the request that answers it
//	repeat X WHY     that request is sent again, because its connection broke or Discord answered 5xx
//	failed X WHY     that request was given up
//	uploaded X       Discord has answered the request that answers "!file X"
//	command NAME     it answered a slash command
//	error WHY        anything else that went wrong
//
// The tests need npm's and Go's registries, so they are behind a build tag. A library whose
// runtime isn't there (Node.js, Python with discord.py) is skipped.
//
//	test/clients/run [-v] [-full]
package clients
