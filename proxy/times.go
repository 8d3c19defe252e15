package proxy

import "time"

// times are how long a gateway connection may take for what it has to do.
type times struct {
	// identify is how long it may be without a session, beating or not: as long as a
	// client may wait for its first heartbeat. Libraries that start many shards have
	// them wait for their turn, but not here: see serveGatewayRoute.
	identify time.Duration
	// serve is how long an IDENTIFY or RESUME waits for this node to be able to
	// answer it: to be fresh, and to know the bot. Libraries give up on READY after 15
	// seconds.
	serve time.Duration
	// guilds is how long it waits besides for guilds that are named and not there,
	// and pause how long for the next of them.
	guilds, pause time.Duration
	// begin is how long READY and the guilds may take to be read.
	begin time.Duration
}

// usualTimes is what a server allows.
var usualTimes = times{identify: 45 * time.Second, serve: 10 * time.Second, guilds: 3 * time.Second, pause: time.Second, begin: 3 * time.Minute}
