// Package clients lets foreign Discord libraries, unmodified, judge the
// simulator: a discord.js and a discordgo bot each connect to a discordsim
// process, answer pings, and resume after cut connections with nothing lost.
//
// The tests need node, npm and the libraries, so they are behind a build tag:
//
//	test/clients/run [-v]
package clients
