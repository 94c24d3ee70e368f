"""An STS on 127.0.0.1 whose answers a test chooses: good ones, and every way in which they go wrong.

    with FakeSts() as sts:
        sts.answer(refusal("AccessDenied", "no"), then=session())
        ...
        assert sts.calls[0].form["RoleArn"] == ROLE

It checks no signature: what AWS itself would refuse is the business of the stand-in in `roled.demo`.
"""

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in."""

    form: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def access_key_id(self) -> str:
        return self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `break_off`: end the connection after so many bytes of the body; `reset`: by a RST."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/xml"
    date_offset: float | None = 0.0  # seconds by which the Date header is off; None leaves the header out
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    break_off: int | None = None


Reply = Answer | Callable[[Call], Answer]


def session(  # one argument per thing that can be wrong
    *,
    access_key_id: str | None = "ASIAFAKEFAKEFAKEFAKE",
    secret_access_key: str | None = "fakeSecretAccessKeyfakeSecretAccessKey00",
    session_token: str | None = "fakeSessionToken==",
    expires_in: float = 3600,
    expiration: str | None = None,
    account: str | None = None,
    role_name: str | None = None,
    date_offset: float = 0.0,
    delay: float = 0.0,
) -> Callable[[Call], Answer]:
    """Credentials for the role that was asked for; None leaves a field out."""

    def reply(call: Call) -> Answer:
        _, _, _, _, asked_account, resource = call.form["RoleArn"].split(":", 5)
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + date_offset + expires_in))
        name = role_name or resource.rsplit("/", 1)[-1]
        body = _assume_role_response(
            {
                "AccessKeyId": access_key_id,
                "SecretAccessKey": secret_access_key,
                "SessionToken": session_token,
                "Expiration": expiration if expiration is not None else ends,
            },
            f"arn:aws:sts::{account or asked_account}:assumed-role/{name}/{call.form['RoleSessionName']}",
        )
        return Answer(body=body, date_offset=date_offset, delay=delay)

    return reply


def refusal(code: str, message: str, status: int = 403, date_offset: float = 0.0) -> Answer:
    """An error as STS words it."""
    body = (
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>fake</RequestId></ErrorResponse>"
    )
    return Answer(status=status, body=body.encode(), date_offset=date_offset)


def throttled() -> Answer:
    return refusal("Throttling", "Rate exceeded", 400)


def captive_portal(status: int = 200) -> Answer:
    page = (
        b"<!DOCTYPE html><html><head><meta charset=utf-8><title>Hotel</title></head><body>Log in<br></html>"
    )
    return Answer(status=status, body=page, content_type="text/html")


def truncated_xml() -> Callable[[Call], Answer]:
    """Well-formed HTTP around half a document."""

    def reply(call: Call) -> Answer:
        body = session()(call)
        assert isinstance(body, Answer)
        return Answer(body=body.body[: len(body.body) // 2])

    return reply


def without_credentials() -> Answer:
    return Answer(
        body=f'<AssumeRoleResponse xmlns="{NAMESPACE}"><AssumeRoleResult/></AssumeRoleResponse>'.encode()
    )


def hang() -> Answer:
    """Takes the request and stays silent until the server is closed."""
    return Answer(hang=True)


def reset() -> Answer:
    return Answer(reset=True)


@dataclass
class FakeSts:
    """The server. Answers are used up in the order they were given; the last one stays."""

    tls: ssl.SSLContext | None = None
    calls: list[Call] = field(default_factory=list)
    _answers: list[Reply] = field(default_factory=lambda: [session()])

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._called = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def answer(self, first: Reply, *, then: Reply | None = None) -> None:
        """From now on, `first`; where there is a `then`, `first` once and `then` ever after."""
        with self._lock:
            self._answers = [first] if then is None else [first, then]

    def wait_for_calls(self, count: int, timeout: float = 10.0) -> None:
        """Return once `count` requests have come in."""
        with self._called:
            assert self._called.wait_for(lambda: len(self.calls) >= count, timeout), len(self.calls)

    def take(self, call: Call) -> Answer:
        """Record a call and choose its answer."""
        with self._called:
            self.calls.append(call)
            self._called.notify_all()
            reply = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return reply if isinstance(reply, Answer) else reply(call)

    def pause(self, answer: Answer) -> None:
        """As long as the answer wants to be waited for, or until the server is closed."""
        self._closing.wait(None if answer.hang else answer.delay)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is what many of the tests are about."""


def _handler(sts: FakeSts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            call = Call(dict(parse_qsl(body.decode())), dict(self.headers))
            answer = sts.take(call)
            if answer.hang or answer.delay:
                sts.pause(answer)
            if answer.reset or answer.hang:
                self._reset()
            else:
                self._send(answer)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # http.server's own way out would send a FIN first
            self.close_connection = True

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            if answer.date_offset is not None:
                self.send_header("Date", formatdate(time.time() + answer.date_offset, usegmt=True))
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: answer.break_off])
            self.close_connection = answer.break_off is not None

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- http.server's name
            """Silence."""

    return Handler


def _assume_role_response(credentials: Mapping[str, str | None], assumed_role_arn: str) -> bytes:
    fields = "".join(
        f"<{name}>{escape(value)}</{name}>" for name, value in credentials.items() if value is not None
    )
    return (
        f'<AssumeRoleResponse xmlns="{NAMESPACE}"><AssumeRoleResult>'
        f"<AssumedRoleUser><AssumedRoleId>AROAFAKE:fake</AssumedRoleId><Arn>{escape(assumed_role_arn)}</Arn>"
        f"</AssumedRoleUser><Credentials>{fields}</Credentials></AssumeRoleResult>"
        f"<ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></AssumeRoleResponse>"
    ).encode()
