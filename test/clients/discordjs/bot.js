// A discord.js bot, as its users write them: it answers "!ping X" with "pong X",
// "!file X" with a file, and a slash command. API is the base URL without version,
// TOKEN the token or client key, SHARD_TOTAL a number or "auto". With TAG the bot
// answers only what begins with it, so that several may live in one guild.
//
// What happens goes to standard output, a line each: see ../doc.go.
import { Client, Events, GatewayIntentBits } from 'discord.js';
import { setTimeout as sleep } from 'node:timers/promises';

const { API, TOKEN, SHARD_TOTAL = 'auto', TAG } = process.env;
const say = console.log;

const client = new Client({
  intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildMessages, GatewayIntentBits.MessageContent],
  rest: { api: API },
  ...(SHARD_TOTAL === 'auto' ? { shards: 'auto' } : { shardCount: Number(SHARD_TOTAL) }),
});

// persist sends until Discord has answered. discord.js repeats a request by itself
// after a 5xx, a time-out or a reset connection, but not after other breaks; the nonce makes
// a repeat harmless.
async function persist(what, send) {
  for (let i = 0; ; i++) {
    try {
      return await send();
    } catch (e) {
      if (e.status < 500 || i === 300) throw e;
      say(`repeat ${what} ${e.code ?? e.message}`);
      await sleep(100);
    }
  }
}

// argument is what follows a command word, if it is this bot's to answer.
function argument(m, word) {
  if (m.author.bot || !m.content.startsWith(`${word} `)) return undefined;
  const x = m.content.slice(word.length + 1);
  return !TAG || x.startsWith(`${TAG}-`) ? x : undefined;
}

client.once(Events.ClientReady, async (c) => {
  say(`guilds ${c.guilds.cache.filter((g) => g.available).size}`);
  await c.application.commands.create({ name: TAG || 'ping', description: 'Answers pong' });
  say('ready');
});
client.on(Events.ShardReady, () => say('identified'));
client.on(Events.ShardResume, () => say('resumed'));
client.on(Events.ShardReconnecting, () => say('disconnected'));
client.on(Events.ShardError, (e) => say(`error ${e.message}`));
client.on(Events.Error, (e) => say(`error ${e.message}`));
client.on(Events.MessageCreate, async (m) => {
  const ping = argument(m, '!ping'), file = argument(m, '!file');
  try {
    if (ping) {
      say(`got ${ping}`);
      await persist(ping, () => m.channel.send({ content: `pong ${ping}`, nonce: m.id, enforceNonce: true }));
      say(`sent ${ping}`);
    } else if (file) {
      const files = [{ attachment: Buffer.alloc(1 << 20, 'x'), name: `${file}.bin` }];
      await persist(file, () => m.channel.send({ content: `file ${file}`, files, nonce: m.id, enforceNonce: true }));
      say(`uploaded ${file}`);
    }
  } catch (e) {
    say(`failed ${ping ?? file} ${e.message}`);
  }
});
client.on(Events.InteractionCreate, async (i) => {
  if (!i.isChatInputCommand() || (TAG && i.commandName !== TAG)) return;
  await i.reply('pong');
  say(`command ${i.commandName}`);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => {
    await client.destroy();
    process.exit(0);
  });
}

await client.login(TOKEN);
