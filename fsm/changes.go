package fsm

import "slices"

// ShardRef names a shard of a bot.
type ShardRef struct {
	Bot   string
	Shard ShardKey
}

// Changes is what one log entry did, for those who follow the state instead
// of scanning it.
type Changes struct {
	// Who takes Added, then Altered, then Removed, each in order, has the
	// pending entries.
	Added   []*Entry // new entries that handlers want
	Altered []*Entry // pending entries whose runner, attempts or handlers changed
	Removed []*Entry // entries that are done or dead

	// Shards lists the shards whose record, session, sequence or permit
	// changed, with repeats.
	Shards []ShardRef
	// Topology says that nodes, owners, sessions, permits or configuration
	// changed: anything but events and their acknowledgements.
	Topology bool
	// Locks says that a lock was acquired or released.
	Locks bool
	// Clients says that sessions of the proxy's clients began, ended, or went to
	// another connection.
	Clients bool
	// Sweep says that caches are being brought in line with their policies.
	Sweep bool
}

func (c *Changes) reset() { *c = Changes{} }

// readd reports a dead letter that is pending again. One that was buried by the
// same log entry was never gone for a follower.
func (c *Changes) readd(e *Entry) {
	i := slices.IndexFunc(c.Removed, func(r *Entry) bool { return r.Bot == e.Bot && r.Pos == e.Pos })
	if i < 0 {
		c.Added = append(c.Added, e)
		return
	}
	c.Removed = slices.Delete(c.Removed, i, i+1)
	c.Altered = append(c.Altered, e)
}

// note records what a command that took effect was about.
func (c *Changes) note(cmd Command) {
	switch cmd := cmd.(type) {
	case *Events:
		c.touch(cmd.Bot, cmd.Shard)
		return
	case *Done, *Fail, *Dead, *KVWrite, *Tick, *Expire, *Import, *TouchClient:
		return
	case *OpenClient, *AttachClient, *CloseClient, *ExpireClients, *PutClientKey, *DropClientKey:
		c.Clients = true
		return
	case *Lock, *Unlock:
		c.Locks = true
		return
	case *Sweep:
		c.Sweep = true
		return
	case *Reidentify:
		c.touch(cmd.Bot, cmd.Shard)
	case *Ready:
		c.touch(cmd.Bot, cmd.Shard)
	case *Lost:
		c.touch(cmd.Bot, cmd.Shard)
	case *Grant:
		c.touch(cmd.Bot, cmd.Shard)
	case *Disconnect:
		c.touch(cmd.Bot, cmd.Shard)
	case *Connect:
		c.touch(cmd.Bot, cmd.Shard)
	case *Permit:
		c.touch(cmd.Bot, cmd.Shard)
	case *Clear:
		c.touch(cmd.Bot, cmd.Shard)
	}
	c.Topology = true
}

// endsClients reports whether a command may end sessions of the proxy's clients,
// give them to other connections, or change what their keys may do.
func endsClients(cmd Command) bool {
	switch cmd.(type) {
	case *OpenClient, *AttachClient, *CloseClient, *ExpireClients, *PutClientKey, *DropClientKey, *Ready, *Connect, *Renew:
		return true
	}
	return false
}

func (c *Changes) touch(bot string, k ShardKey) {
	c.Shards = append(c.Shards, ShardRef{Bot: bot, Shard: k})
}
