"""Builds the real daemon: edges into the keeper, logging, signals. The wiring diagram."""

import asyncio
import contextlib
import getpass
import logging
import logging.handlers
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from roled import __version__
from roled.configs import Configs
from roled.core.errors import BadRequest, RoledError
from roled.core.protocol import Request, json_line, reply
from roled.edges import awsconfig, hardening, paths, server, shells
from roled.edges.stamps import Stamps
from roled.edges.watcher import Watcher
from roled.edges.workers import Worker
from roled.keeper import Edges, Keeper
from roled.store import Store

STS_SECONDS = 12.0  # for one call: botocore gives up after 3 s to connect, and after 5 s without a byte
CHECK_SECONDS = 15.0  # between two looks at the socket's path and the watched folders
GRACE_SECONDS = 2.0  # for answers under way when the daemon is asked to end
LOG_BYTES = 512 * 1024

log = logging.getLogger("roled")


def main(*, background: bool) -> None:
    """Run the daemon until it is told to stop. In the background the log goes to a file, else to stderr.

    Raises AlreadyRunning, and a RoledError when the runtime folder cannot be trusted.
    """
    hardening.harden()
    os.umask(0o077)
    runtime = paths.runtime_dir(os.environ)
    os.environ["ROLED_RUNTIME_DIR"] = runtime  # for the workers, also when what it was chosen by changes
    _start_logging(paths.log_path() if background else None)
    try:
        paths.prepare(runtime)
        os.chdir("/")
        with server.hold(os.path.join(runtime, paths.LOCK_NAME)):
            asyncio.run(_serve(runtime))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "name another folder in ROLED_RUNTIME_DIR"
        raise RoledError(f"the daemon cannot run: {where}{error.strerror or error}", hint) from error


async def _serve(runtime: str) -> None:
    stopping = asyncio.Event()
    _on_signals(stopping)
    async with _wired(runtime) as (keeper, watcher):
        path = paths.socket_path(runtime)
        desk = server.Server(_desk(keeper, stopping), server.room())
        inherited = server.inherited()
        with inherited or server.bind(path) as listener:
            found = os.lstat(path)
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, keeper.poke)
            log.info("roled %s listens on %s", __version__, path)
            chores = desk.accept(listener), keeper.run(), _look_after(path, found, watcher, stopping)
            tasks = [asyncio.create_task(_guarded(chore, stopping)) for chore in chores]
            await stopping.wait()
            # While it listens, so that no later daemon's socket can have got the same inode number.
            if not inherited and server.is_file(path, found):
                os.unlink(path)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await desk.finish(GRACE_SECONDS)
    log.info("stopped")


@contextlib.asynccontextmanager
async def _wired(runtime: str) -> AsyncIterator[tuple[Keeper, Watcher]]:
    """The keeper with everything it acts through."""
    loop = asyncio.get_running_loop()
    sts, keyring = Worker("sts"), Worker("keyring")
    store = Store(keyring.ask, clock=time.monotonic)
    keeper: Keeper

    def config_changed() -> None:
        loop.call_soon_threadsafe(keeper.poke)

    with Watcher(config_changed) as watcher:
        configs = Configs(awsconfig.read, awsconfig.signature, watcher.watch, _session_name())
        keeper = Keeper(
            Edges(
                clock=time.time,
                random=random.random,
                assume_role=lambda request: sts.ask(request, STS_SECONDS),
                store=store,
                stamps=Stamps(paths.stamps_dir(runtime)),
                find_process=shells.find,
                aws_files=paths.aws_files,
            ),
            configs,
        )
        # While the first shell is still asking: what it wants is in the store, or takes a call to STS.
        getting_ready = {asyncio.create_task(store.open()), asyncio.create_task(sts.warm_up())}
        try:
            yield keeper, watcher
        finally:
            for task in getting_ready:
                task.cancel()
            await asyncio.wait(getting_ready)  # a child that is just starting ends with its task
            await keeper.close()
            await asyncio.gather(sts.close(), keyring.close())


def _desk(keeper: Keeper, stopping: asyncio.Event) -> Callable[[Request], Awaitable[bytes]]:
    """Who answers which verb."""
    started_at = time.time()
    about = {
        "version": __version__,
        "pid": os.getpid(),
        "started_at": started_at,
        "executable": sys.executable,
    }

    async def ping(_: Request) -> list[str]:
        return [json_line(about)]

    async def status(_: Request) -> list[str]:
        keeper.poke()
        return [json_line(about | keeper.status())]

    async def stop(_: Request) -> list[str]:
        stopping.set()
        return []

    verbs: dict[str, Callable[[Request], Awaitable[list[str]]]] = {
        "lease": keeper.lease,
        "credentials": keeper.credentials,
        "profiles": keeper.profiles,
        "forget": keeper.forget,
        "ping": ping,
        "status": status,
        "stop": stop,
    }

    async def answer(request: Request) -> bytes:
        verb = verbs.get(request.verb)
        if verb is None:
            raise BadRequest(
                f"this daemon does not know the request {request.verb}", "restart it: roled restart"
            )
        return reply(await verb(request))

    return answer


async def _look_after(path: str, found: os.stat_result, watcher: Watcher, stopping: asyncio.Event) -> None:
    """Re-arm the watcher, and end when shells can no longer get here: a log-out or `rm -rf` took the socket's
    folder.

    Nothing is deleted then, for what stands at the path now may be another daemon's.
    """
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        watcher.check()
        if not server.is_file(path, found):
            log.warning("the socket %s is gone or another's: ending", path)
            stopping.set()
            return


async def _guarded(chore: Awaitable[None], stopping: asyncio.Event) -> None:
    """A chore that fails unexpectedly ends the daemon, so that the next question starts a sound one."""
    try:
        await chore
    except Exception as error:  # noqa: BLE001  whatever it is
        log.critical("ending: %s", server.describe(error))  # no traceback: its values could be secrets
        stopping.set()


def _on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)  # asked a second time: whatever hangs is not waited for
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.set_exception_handler(_log_unexpected)


def _log_unexpected(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    what = str(context.get("message")).partition("(")[0]  # what follows are arguments
    log.error("%s: %s", what, server.describe(error) if error else "no exception")


def _start_logging(path: str | None) -> None:
    """Lines of time, level and text; never a traceback, whose values could be secrets."""
    handler = _log_file(path) if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.raiseExceptions = False  # a full disk must not print to a descriptor that is somebody's terminal


def _log_file(path: str) -> logging.Handler:
    """The file, private to this user; none where it cannot be written: the shells' keys matter more."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
        os.chmod(path, 0o600)
    except OSError:
        return logging.NullHandler()
    return handler


def _session_name() -> str:
    """The role session name where a profile gives none: shows in CloudTrail whose roled it was."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.geteuid())
    return f"roled-{re.sub(r'[^A-Za-z0-9_=,.@-]', '-', user)}"[:64]
