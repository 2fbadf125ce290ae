"""A mail server for the tests: aiosmtpd, with the answers that an address asks for. Each line on stdout is JSON: the port,
logins, recipients, and messages as Python's own `email` package reads them, which shares nothing with the gateway. Lines on
stdin shut and open gates: one stands before each name's letters, `hello` before each conversation."""

import argparse
import asyncio
import collections
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read(content):
    message = email.message_from_bytes(content, policy=email.policy.default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    return {
        "headers": [[name, str(value)] for name, value in message.items()],
        "defects": [type(defect).__name__ for part in message.walk() for defect in part.defects],
        "type": message.get_content_type(),
        "parts": [[part.get_content_type(), part.get_content()] for part in parts],
        "ascii": content.isascii(),
        "longest": max(len(line) for line in content.splitlines()),
    }


class Handler:
    def __init__(self):
        self.seen = collections.Counter()
        self.others = asyncio.Event()
        self.shut = {}

    def obey(self, command):
        what, name = command.split()
        if what == "shut":
            self.shut[name] = asyncio.Event()
        elif name in self.shut:
            self.shut.pop(name).set()
        say(**{what: name})

    async def pass_gate(self, name):
        if name in self.shut:
            say(waits=name)
            await self.shut[name].wait()

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        await self.pass_gate("hello")
        session.host_name = hostname
        return responses

    def refused_before(self, what):
        self.seen[what] += 1
        return self.seen[what] > 1

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        code = 250
        if name == "break" and not self.refused_before(address):
            server.transport.abort()
        elif name == "closed" and not self.refused_before(address):
            code = 421
        elif name == "nobody":
            code = 550
        elif name == "later" and not self.refused_before(address):
            code = 451
        say(rcpt=address, code=code)
        if code != 250:
            return f"{code} no such luck, said mail.internal.example"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        code = 250
        await self.pass_gate(name)
        if name == "hang":
            await asyncio.Event().wait()
        elif name == "hold":
            # Until somebody else has a letter.
            await self.others.wait()
        elif name == "cut" and not self.refused_before(envelope.rcpt_tos[0]):
            # It has the letter, and nobody hears of it.
            say(code=0, to=envelope.rcpt_tos, message=read(envelope.content))
            server.transport.abort()
            return "250 unheard"
        else:
            self.others.set()
        if name == "spam":
            code = 554
        elif name == "busy" and not self.refused_before(envelope.rcpt_tos[0]):
            code = 452
        at_ms = int(time.time() * 1000)
        say(code=code, at_ms=at_ms, sender=envelope.mail_from, to=envelope.rcpt_tos, message=read(envelope.content))
        return f"{code} that is that"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"duty" and data.password == b"a password of the test's own"
    encrypted = server.transport.get_extra_info("sslcontext") is not None
    say(login=data.login.decode(), good=good, encrypted=encrypted)
    return AuthResult(success=good, handled=False)


async def main():
    options = argparse.ArgumentParser()
    options.add_argument("--tls", choices=["none", "starttls", "smtps"], default="none")
    options.add_argument("--certificate")
    options.add_argument("--key")
    options.add_argument("--port", type=int, default=0)
    options = options.parse_args()
    context = None
    if options.tls != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    handler = Handler()

    def session():
        return SMTP(
            handler,
            hostname="mail.internal.example",
            tls_context=context if options.tls == "starttls" else None,
            require_starttls=options.tls == "starttls",
            authenticator=authenticate,
            auth_require_tls=options.tls == "starttls",
        )

    async def listen():
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            handler.obey(line.decode())

    secured = context if options.tls == "smtps" else None
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", options.port, ssl=secured)
    say(port=server.sockets[0].getsockname()[1])
    await asyncio.gather(server.serve_forever(), listen())


asyncio.run(main())
