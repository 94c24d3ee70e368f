"""A command asks the daemon: started if there is none, its refusals turned into errors again."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from roled.core.errors import DaemonUnreachable, from_code
from roled.edges import client, paths

QUICK = 5.0  # seconds, for what the daemon answers from memory
PATIENT = 60.0  # seconds, for what may wait for AWS, hop after hop
STARTING = 10.0  # seconds that a daemon gets to come up
LOOK = 0.02  # seconds between two looks whether it has


class NotRunning(DaemonUnreachable):
    """Nothing listens where the daemon would."""

    def __init__(self) -> None:
        super().__init__(
            "the daemon is not running", "the next shell that needs it starts it, or: roled start"
        )


def shell() -> dict[str, str]:
    """The variables that decide the answer, from the environment of this command."""
    return client.shell_fields(os.environ)


def ask(verb: str, fields: Mapping[str, str] | None = None, timeout: float = QUICK) -> list[str]:
    """The lines of the answer without its closing OK, from a daemon that is started if there is none."""
    try:
        return ask_running(verb, fields, timeout)
    except NotRunning:
        _start()
        return ask_running(verb, fields, timeout)


def ask_running(verb: str, fields: Mapping[str, str] | None = None, timeout: float = QUICK) -> list[str]:
    """As `ask`, but nothing is started: NotRunning when there is no daemon."""
    with _in_our_words(timeout):
        return _accepted(client.ask(paths.runtime_dir(os.environ), verb, fields or {}, timeout))


def structured(lines: list[str]) -> Any:
    """The value of the `json` line of an answer."""
    for line in lines:
        word, _, text = line.partition(" ")
        if word == "json":
            return json.loads(text)
    raise DaemonUnreachable("the daemon gave an answer that roled does not understand", "try: roled restart")


def _start() -> None:
    """Start the daemon, and wait until it answers."""
    runtime = paths.runtime_dir(os.environ)
    try:
        paths.prepare(runtime)  # the daemon does so too, but nobody sees what it complains about
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "name another one in ROLED_RUNTIME_DIR"
        raise DaemonUnreachable(f"the folder {runtime} can't be made: {reason}", hint) from error
    give_up_at = time.monotonic() + STARTING
    while time.monotonic() < give_up_at:
        with _in_our_words(STARTING):
            client.start(runtime)  # which does nothing while one is about to come up
        with contextlib.suppress(NotRunning):
            ask_running("ping")
            return
        time.sleep(LOOK)
    raise DaemonUnreachable("the daemon does not start", "see why: roled daemon")


@contextlib.contextmanager
def _in_our_words(timeout: float) -> Iterator[None]:
    """What the operating system says of a daemon that can't be asked, as an error of ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NotRunning from error
    except TimeoutError as error:
        raise DaemonUnreachable(
            f"the daemon did not answer within {timeout:g} s", "try: roled restart"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DaemonUnreachable(
            f"the daemon can't be asked: {reason}", "what it did last: roled logs"
        ) from error


def _accepted(lines: list[str]) -> list[str]:
    """The lines before the closing OK; the error that the daemon answered with is raised here."""
    *before, last = lines
    word, _, rest = last.partition(" ")
    if word == "OK":
        return before
    code, _, text = rest.partition(" ")
    hints = [line.removeprefix("say ") for line in before if line.startswith("say ")]
    raise from_code(code, text, " ".join(hints))
