// A discord.js bot, as its users write them: it answers "!ping N" with "pong N"
// and the command "ping". API is the base URL without version, TOKEN the token,
// SHARDS a number or "auto".
import { Client, Events, GatewayIntentBits } from 'discord.js';

const { API, TOKEN, SHARDS = 'auto' } = process.env;

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent],
  rest: { api: API },
  shards: SHARDS === 'auto' ? 'auto' : Number(SHARDS),
});

client.once(Events.ClientReady, (c) => console.log(`ready ${c.user.username} guilds=${c.guilds.cache.size}`));
client.on(Events.ShardResume, (id, replayed) => console.log(`resumed shard=${id} replayed=${replayed}`));
client.on(Events.ShardDisconnect, (e, id) => console.log(`disconnected shard=${id} code=${e.code}`));
client.on(Events.Error, (e) => console.log(`error ${e.message}`));
client.on(Events.MessageCreate, async (m) => {
  if (m.author.bot || !m.content.startsWith('!ping ')) return;
  await m.channel.send(`pong ${m.content.slice(6)}`);
});
client.on(Events.InteractionCreate, async (i) => {
  if (i.isChatInputCommand()) await i.reply('pong');
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => {
    await client.destroy();
    process.exit(0);
  });
}

await client.login(TOKEN);
