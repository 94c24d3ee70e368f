"""The child's side of a worker, `python -I -m roled.worker KIND`: answers requests with what one edge does.

A line in: `{"id": n, "op": ..., ...}`. A line out, as soon as it is done: `{"id": n, "ok": {...}}` or
`{"id": n, "error": {"code", "message", "hint", "skew"}}`; before all others one with the id 0, which says
that everything is loaded. It ends when stdin does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, BinaryIO

from roled.core.errors import BadRequest, RoledError, WorkerFailed
from roled.edges import hardening

READY = 0

Request = Mapping[str, Any]
Answerer = Callable[[Request], dict[str, Any]]


def main(kind: str) -> None:
    """Serve until stdin ends."""
    hardening.harden()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the shell's command
    requests, replies = _take_pipes()
    load, threads = KINDS[kind]
    answer = load()
    _send(replies, {"id": READY, "ok": {"worker": kind}})
    with ThreadPoolExecutor(threads) as pool:
        for line in requests:
            pool.submit(_serve, json.loads(line), answer, replies)
        # The daemon is gone, and a call that hangs must not keep this process behind it.
        os._exit(0)


def _load_sts() -> Answerer:
    from roled.edges import sts  # noqa: PLC0415 -- no worker loads what the other kind needs

    def answer(request: Request) -> dict[str, Any]:
        if request["op"] != "assume_role":
            raise _unknown(request)
        return sts.assume_role(request)

    return answer


def _load_keyring() -> Answerer:
    from roled.edges import keychain, paths, sealed_file  # noqa: PLC0415 -- as above

    @cache
    def opened() -> keychain.Keychain:
        folder = paths.runtime_dir(os.environ)
        return keychain.open_keychain(os.environ, lambda: sealed_file.SealedFile(folder))

    def answer(request: Request) -> dict[str, Any]:
        keychain = opened()
        outcome = {"name": keychain.name}
        match request["op"]:
            case "open":
                return outcome
            case "remember":
                keychain.remember(request["identity"], request["text"], request["expires_at"])
            case "recall":
                return {**outcome, "text": keychain.recall(request["identity"])}
            case "forget":
                keychain.forget(request["identity"])
            case "forget_all":
                keychain.forget_all()
            case _:
                raise _unknown(request)
        return outcome

    return answer


# How a kind gets ready, and how many requests it serves at the same time: a keyring serves one.
KINDS: dict[str, tuple[Callable[[], Answerer], int]] = {"sts": (_load_sts, 4), "keyring": (_load_keyring, 1)}


def _unknown(request: Request) -> RoledError:
    return BadRequest(f"this worker knows no {request['op']}")


def _serve(request: Request, answer: Answerer, replies: BinaryIO) -> None:
    try:
        outcome = {"ok": answer(request)}
    except RoledError as error:
        outcome = {"error": _described(error)}
    except Exception as error:  # noqa: BLE001 -- whatever it is, somebody waits; its text may hold a secret
        outcome = {"error": _described(WorkerFailed(f"a worker stumbled over {type(error).__name__}"))}
    _send(replies, {"id": request["id"], **outcome})


def _described(error: RoledError) -> dict[str, Any]:
    return {"code": error.code, "message": str(error), "hint": error.hint, "skew": error.skew}


def _send(replies: BinaryIO, message: Mapping[str, Any]) -> None:
    # A buffered stream takes in each write as a whole, so threads need no lock to keep their lines apart.
    replies.write(json.dumps(message).encode() + b"\n")
    replies.flush()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the daemon, out of reach of code that prints, reads stdin or starts processes."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


if __name__ == "__main__":
    main(sys.argv[1])
