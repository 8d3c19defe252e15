"""A discord.py bot: it answers "!ping X" with "pong X", "!file X" with a file, and a slash command.

API is the base URL without version, GATEWAY the gateway's, TOKEN the token or client key. With TAG the bot answers only
what begins with it, so that several may live in one guild. What happens goes to standard output, a line each: see ../doc.go.
"""

import asyncio
import io
import os
import signal

import aiohttp
import discord
import discord.gateway
import discord.http
import yarl

API, GATEWAY, TOKEN, TAG = (os.environ.get(name, "") for name in ("API", "GATEWAY", "TOKEN", "TAG"))

discord.http.Route.BASE = API + "/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(GATEWAY)


def say(*words):
    print(*words, flush=True)


async def persist(what, send):
    """Sends until Discord has answered: discord.py doesn't repeat a request whose connection broke."""
    for attempt in range(300):
        try:
            return await send()
        except (aiohttp.ClientError, OSError, discord.DiscordServerError) as e:
            say("repeat", what, type(e).__name__)
            await asyncio.sleep(0.1)
    raise TimeoutError(what)


def argument(message, word):
    """What follows a command word, if it is this bot's to answer."""
    if message.author.bot or not message.content.startswith(word + " "):
        return None
    x = message.content[len(word) + 1 :]
    return x if not TAG or x.startswith(TAG + "-") else None


class Bot(discord.Client):
    def __init__(self):
        super().__init__(intents=discord.Intents(guilds=True, guild_messages=True, message_content=True))
        self.tree = discord.app_commands.CommandTree(self)

        @self.tree.command(name=TAG or "ping", description="Answers pong")
        async def ping(interaction):
            await interaction.response.send_message("pong")
            say("command", TAG or "ping")

    async def on_ready(self):
        say("guilds", len(self.guilds))
        for command in self.tree.get_commands():
            await self.http.upsert_global_command(self.application_id, command.to_dict())
        say("ready")

    async def on_socket_event_type(self, kind):
        if kind == "READY":
            say("identified")

    async def on_resumed(self):
        say("resumed")

    async def on_disconnect(self):
        say("disconnected")

    async def on_message(self, message):
        ping, file = argument(message, "!ping"), argument(message, "!file")
        if ping:
            say("got", ping)
            await self.answer(ping, "sent", lambda: self.pong(message, ping))
        elif file:
            await self.answer(
                file,
                "uploaded",
                lambda: message.channel.send(f"file {file}", file=discord.File(io.BytesIO(b"x" * (1 << 20)), f"{file}.bin")),
            )

    async def pong(self, message, x):
        # Since 2.4 `send(..., nonce=...)` has Discord enforce the nonce; before, it is said in the payload.
        route = discord.http.Route("POST", "/channels/{channel_id}/messages", channel_id=message.channel.id)
        await self.http.request(route, json={"content": f"pong {x}", "nonce": str(message.id), "enforce_nonce": True})

    async def answer(self, x, word, send):
        try:
            await persist(x, send)
            say(word, x)
        except Exception as e:
            say("failed", x, e)


async def main():
    async with Bot() as bot:
        for sig in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sig, lambda: asyncio.ensure_future(bot.close()))
        await bot.start(TOKEN)


asyncio.run(main())
