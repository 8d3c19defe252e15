// An oceanic.js bot, as its users write them: it answers "!ping X" with "pong X",
// "!file X" with a file, and a slash command. API is the base URL without version,
// TOKEN the token or client key, SHARD_TOTAL a number or "auto". With TAG the bot
// answers only what begins with it, so that several may live in one guild.
//
// What happens goes to standard output, a line each: see ../doc.go.
import { Client } from 'oceanic.js';
import { setTimeout as sleep } from 'node:timers/promises';

const { API, TOKEN, SHARD_TOTAL = 'auto', TAG } = process.env;
const say = console.log;

const client = new Client({
  auth: `Bot ${TOKEN}`,
  gateway: { intents: ['GUILDS', 'GUILD_MESSAGES', 'MESSAGE_CONTENT'], maxShards: SHARD_TOTAL === 'auto' ? 'auto' : Number(SHARD_TOTAL) },
  rest: { baseURL: `${API}/v10` },
});

// persist sends until Discord has answered. The promise of a request whose
// connection broke is never settled by oceanic.js 1.15, so time ends the wait; the
// nonce makes a repeat harmless.
async function persist(what, send) {
  for (let i = 0; ; i++) {
    const late = new AbortController();
    try {
      return await Promise.race([send(), sleep(2000, undefined, { signal: late.signal }).then(() => Promise.reject(new Error('no answer')))]);
    } catch (e) {
      if (e.status < 500 || i === 30) throw e;
      say(`repeat ${what} ${e.message}`);
      await sleep(100);
    } finally {
      late.abort();
    }
  }
}

// argument is what follows a command word, if it is this bot's to answer.
function argument(m, word) {
  if (m.author.bot || !m.content.startsWith(`${word} `)) return undefined;
  const x = m.content.slice(word.length + 1);
  return !TAG || x.startsWith(`${TAG}-`) ? x : undefined;
}

client.once('ready', async () => {
  say(`guilds ${client.guilds.size}`);
  await client.application.createGlobalCommand({ type: 1, name: TAG || 'ping', description: 'Answers pong' });
  say('ready');
});
client.on('packet', (p) => {
  if (p.t === 'READY') say('identified');
  if (p.t === 'RESUMED') say('resumed');
});
client.on('shardDisconnect', () => say('disconnected'));
client.on('error', (e) => say(`error ${e?.cause?.message ?? e?.message ?? e}`));
client.on('messageCreate', async (m) => {
  const ping = argument(m, '!ping'), file = argument(m, '!file');
  const send = (content, files) => client.rest.channels.createMessage(m.channelID, { content, files, nonce: m.id, enforceNonce: true });
  try {
    if (ping) {
      say(`got ${ping}`);
      await persist(ping, () => send(`pong ${ping}`));
      say(`sent ${ping}`);
    } else if (file) {
      await persist(file, () => send(`file ${file}`, [{ name: `${file}.bin`, contents: Buffer.alloc(1 << 20, 'x') }]));
      say(`uploaded ${file}`);
    }
  } catch (e) {
    say(`failed ${ping ?? file} ${e.message}`);
  }
});
client.on('interactionCreate', async (i) => {
  if (i.type !== 2 || (TAG && i.data.name !== TAG)) return;
  await i.createMessage({ content: 'pong' });
  say(`command ${i.data.name}`);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    client.disconnect(false);
    setTimeout(() => process.exit(0), 100);
  });
}

await client.connect();
