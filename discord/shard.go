package discord

// ShardOf is the shard that receives the events of a guild when the guilds are
// divided among total shards (events/gateway.mdx, "Sharding"). Events without a
// guild go to shard 0, which is also the answer for guild 0. A total below one
// counts as one.
func ShardOf(guild Snowflake, total int) int {
	if total <= 1 {
		return 0
	}
	return int(uint64(guild>>timestampShift) % uint64(total))
}

// IdentifyKey is the rate limit bucket of a shard's IDENTIFY: one op 2 in five
// seconds for each key (events/gateway.mdx, "Max Concurrency"). A concurrency
// below one counts as one.
func IdentifyKey(shard, maxConcurrency int) int {
	if maxConcurrency <= 1 {
		return 0
	}
	return shard % maxConcurrency
}

// homepage is the address that Discord's operators find in the user agent.
const homepage = "https://github.com/botnode/botnode"

// UserAgent is the User-Agent that Discord asks of bots (reference.mdx, "User
// Agent"); an empty version counts as "dev".
func UserAgent(version string) string {
	if version == "" {
		version = "dev"
	}
	return "DiscordBot (" + homepage + ", " + version + ")"
}
