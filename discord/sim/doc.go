// Package sim is a Discord that runs on loopback: a gateway, a REST API and a
// ledger of everything that crossed them. It is shaped like httptest.Server:
//
//	srv := sim.New(sim.Options{Guilds: 3})
//	if err := srv.Start(); err != nil { ... }
//	defer srv.Close()
//	// point a bot at srv.APIURL() with srv.Token()
//
// The judge must not share a fault with the judged. So this package imports
// nothing of the project, neither the gateway client nor the limiter nor the
// scanners, and reads with encoding/json only. What it claims about Discord is
// in turn judged by discord.js and discordgo (test/clients).
//
// What Discord does not document is a field of Switches; the zero value is what
// the project assumes. See docs/design/sim.md.
//
// The package refuses to be a Discord for people: it has no permissions model,
// keeps messages in bounded memory, speaks no ETF, and carries no voice media.
package sim
