"""The AWS stand-in: a server on loopback, for the demo and for tests from end to end.

In a test, `with StandIn() as aws:`; as a process of its own, `python -m roled.demo.standin --home FOLDER`.
"""

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from roled.demo import accounts
from roled.demo.application import Application, Call
from roled.demo.faults import Faults
from roled.demo.moto_aws import MotoAws
from roled.demo.tokens import Tokens


class StandIn:
    """An AWS with the story's accounts, served on 127.0.0.1 for as long as the `with` block lasts.

    `session_seconds` caps what sessions live, below AWS's shortest of 15 minutes too; a duration that a
    client asks for is judged as in AWS all the same. `clock` gives epoch seconds. One per process at a time,
    since moto's state is global.
    """

    def __init__(
        self, port: int = 0, session_seconds: int | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        aws = MotoAws()
        self.keys = accounts.settle(aws)
        aws.enforce()
        self._application = Application(aws, Tokens(aws, session_seconds), clock)
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self._application, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="stand-in", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._application.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call to STS so far, oldest first."""
        return self._application.calls

    @property
    def faults(self) -> Faults:
        """What a test orders to go wrong."""
        return self._application.faults

    def write_files(self, home: str) -> None:
        """The AWS config and credentials of the story's user, in `home`/.aws."""
        accounts.write_files(home, self.endpoint, self.keys)


class _Quiet(WSGIRequestHandler):
    def send_response(self, code: int, message: str | None = None) -> None:
        """Without the Date of this machine: the application has set that of its own clock."""
        self.send_response_only(code, message)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - as in werkzeug
        """Requests are in the record of calls; a line for each would only disturb the story."""


def main() -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent process; one JSON line on stdout says where."""
    parser = argparse.ArgumentParser(prog="python -m roled.demo.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any that is free)")
    parser.add_argument(
        "--session-seconds", type=int, help="the longest that a session lives (default: as in AWS)"
    )
    parser.add_argument(
        "--home", help="write .aws/config and .aws/credentials of the story's user into this folder"
    )
    options = parser.parse_args()
    parent, ended = os.getppid(), threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    with StandIn(options.port, options.session_seconds) as aws:
        if options.home:
            aws.write_files(options.home)
        where = {"port": aws.port, "endpoint": aws.endpoint, "bucket": accounts.BUCKET}
        print(json.dumps(where), flush=True)  # noqa: T201 - for the process that started this one
        while not ended.wait(1.0) and os.getppid() == parent:
            pass


if __name__ == "__main__":
    main()
