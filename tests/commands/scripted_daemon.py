"""A daemon that answers each verb with what a test lays down, on a real socket in the real protocol."""

import contextlib
import os
import socketserver
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Self

from roled.core.errors import RoledError
from roled.core.protocol import Request, decode, json_line, refusal, reply

Finished = subprocess.CompletedProcess[str]
Roled = Callable[..., Finished]
ENDED_PID = 2**22 + 1  # above the highest pid that Linux hands out


class FakeDaemon:
    """A socket that answers each verb with what `answers` holds for it, and remembers what it was asked."""

    def __init__(self, folder: str) -> None:
        self.asked: list[Request] = []
        self.answers: dict[str, bytes] = {"stop": reply([])}
        self.answer("ping", {"version": "0.1.0", "pid": ENDED_PID, "executable": "/usr/bin/python3"})
        self._held: set[str] = set()
        self._news, self._ending = threading.Condition(), threading.Event()
        self._server = _Server(os.path.join(folder, "socket"), self._answer)

    def answer(self, verb: str, value: Any) -> None:
        self.answers[verb] = reply([json_line(value)])

    def hold(self, verb: str) -> None:
        """Leave whoever asks waiting, until the test ends."""
        self._held.add(verb)

    def wait_until_asked(self, verb: str) -> None:
        with self._news:
            assert self._news.wait_for(
                lambda: any(request.verb == verb for request in self.asked), timeout=20
            )

    def refuse(self, verb: str, error: RoledError) -> None:
        self.answers[verb] = refusal(error)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End, as a daemon does: without a socket left behind."""
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._server.server_address)

    def _answer(self, line: bytes) -> bytes:
        request = decode(line)
        with self._news:
            self.asked.append(request)
            self._news.notify_all()
        if request.verb in self._held:
            self._ending.wait()
            return b""
        return self.answers[request.verb]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        line = self.rfile.readline()
        with contextlib.suppress(BrokenPipeError):  # a command that was interrupted is not there any more
            if line:
                self.wfile.write(self.server.answer(line.rstrip(b"\n")))
