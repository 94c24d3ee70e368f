"""A daemon that answers as a test tells it to, and remembers what it was asked."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from roled.core import environment, protocol
from roled.core.credentials import Credentials
from roled.core.protocol import Request

Answer = Callable[[Request], bytes | None]
HOUR = 3600


def key_of(profile: str, generation: int = 0) -> str:
    """The access key id that the fake daemon hands out for a profile."""
    return f"ASIA{profile.encode().hex().upper()[:12]:X<12}{generation:04d}"


class FakeDaemon:
    """Serves one runtime folder. Every profile has credentials, except those in `refused` (name -> text)."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        self.requests: list[Request] = []
        self.refused: dict[str, str] = {}
        self.on_its_way: set[str] = set()
        self.region = "eu-central-1"
        self.lifetime = HOUR
        self.until = 600
        self.generation = 0
        self.piece = 65536  # bytes that it sends at once
        self.answer: Answer = self.lease
        self._released = threading.Event()

    def __enter__(self) -> Self:
        (self.runtime / "stamps").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.runtime.chmod(0o700)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.runtime / "socket"))
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End like a killed daemon: the socket's file stays."""
        if self._released.is_set():
            return
        self._released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def renew(self) -> None:
        """New credentials, and the old stamp gone."""
        self.generation += 1
        for stamp in (self.runtime / "stamps").iterdir():
            stamp.unlink()

    def asked(self) -> list[str]:
        """The profiles of the leases that were asked for, in order."""
        return [profile_of(request) for request in self.requests]

    def lease(self, request: Request) -> bytes:
        """What the real daemon answers a hook."""
        profile = profile_of(request)
        stamp = f"{profile.encode().hex() or 'none'}-{self.generation}"
        (self.runtime / "stamps" / stamp).touch()
        if not profile:
            return protocol.reply([*environment.withdraw(request.fields), "until 86400"])
        if profile in self.refused:
            said = [protocol.say_line(line) for line in self.refused[profile].splitlines()]
            return protocol.reply(
                [*environment.withdraw(request.fields), *said, "until 60", f"stamp {stamp}"]
            )
        if profile in self.on_its_way and request.get("wait") != "1":
            return protocol.reply(["until 1", f"stamp {stamp}"])
        granted = environment.grant(self.credentials(profile), profile, self.region, request.fields)
        return protocol.reply([*granted, f"expires {self.lifetime}", f"until {self.until}", f"stamp {stamp}"])

    def credentials(self, profile: str) -> Credentials:
        now = time.time()
        return Credentials(
            access_key_id=key_of(profile, self.generation),
            secret_access_key=f"SECRET{self.generation}" + "s" * 34,
            session_token="TOKEN" + "t" * 995,
            issued_at=now,
            expires_at=now + self.lifetime,
            account="123456789012",
            assumed_role_arn=f"arn:aws:sts::123456789012:assumed-role/{profile}/me",
        )

    def hang(self, _: Request) -> None:
        """Accept, and never answer."""
        self._released.wait(60)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            line = b""
            while not line.endswith(b"\n"):
                received = connection.recv(65536)
                if not received:
                    return
                line += received
            request = protocol.decode(line.rstrip(b"\n"))
            self.requests.append(request)
            reply = self.answer(request)
            try:
                for start in range(0, len(reply or b""), self.piece):
                    connection.sendall((reply or b"")[start : start + self.piece])
            except OSError:
                return


def profile_of(request: Request) -> str:
    fields = request.fields
    return fields.get("AWS_PROFILE", fields.get("AWS_DEFAULT_PROFILE", ""))


def half(answer: Answer) -> Answer:
    """`answer`, cut in the middle."""

    def cut(request: Request) -> bytes | None:
        whole = answer(request)
        return whole[: len(whole) // 2] if whole else None

    return cut
