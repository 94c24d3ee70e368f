"""Whether the daemon runs: started, stopped and restarted by hand, or run in this very terminal."""

import contextlib
import os
import sys
import time
from typing import Any

import click

from roled.commands import asking
from roled.commands.outcome import say
from roled.core.errors import DaemonUnreachable
from roled.edges import paths

STOPPING = 10.0  # seconds; the daemon finishes its answers and ends its workers first
LOOK = 0.02  # seconds between two looks whether it has ended


@click.command(short_help="Start the daemon.")
def start() -> None:
    """Start the daemon. Shells and commands that need it do so by themselves."""
    try:
        running = asking.structured(asking.ask_running("ping"))
    except asking.NotRunning:
        started = asking.structured(asking.ask("ping"))
        say(f"started the daemon, pid {started['pid']}")
    else:
        say(f"the daemon already runs, pid {running['pid']}")


@click.command(short_help="Stop the daemon.")
def stop() -> None:
    """Stop the daemon. Open shells keep the credentials that they have."""
    stopped = _stop()
    if stopped is None:
        say("the daemon is not running")
    else:
        say(f"stopped the daemon, pid {stopped['pid']}; the next shell that needs it starts it again")


@click.command(short_help="Stop the daemon and start it again.")
def restart() -> None:
    """Stop the daemon if it runs, and start it: after an upgrade, or when it seems stuck."""
    stopped = _stop()
    started = asking.structured(asking.ask("ping"))
    say(f"{'restarted' if stopped else 'started'} the daemon, pid {started['pid']}")


@click.command(short_help="Run the daemon in this terminal.")
@click.option("--background", is_flag=True, help="Log to the log file only, as one that a shell started.")
def daemon(*, background: bool) -> None:
    """Run the daemon until Ctrl-C or `roled stop`. This is what systemd and launchd call."""
    # In place of this process, which has loaded what a daemon should not carry for days.
    module = ["-I", "-m", "roled.daemon", *(["--background"] if background else [])]
    os.execv(sys.executable, [sys.executable, *module])  # noqa: S606  there is no shell to start it with


def _stop() -> dict[str, Any] | None:
    """Stop the daemon and wait for its end; what it said of itself, or None if there was none."""
    try:
        running: dict[str, Any] = asking.structured(asking.ask_running("ping"))
        asking.ask_running("stop")
    except asking.NotRunning:
        return None
    give_up_at = time.monotonic() + STOPPING
    while _lives(running["pid"]):
        if time.monotonic() > give_up_at:
            pid = running["pid"]
            raise DaemonUnreachable(f"the daemon, pid {pid}, does not end", f"try: kill {pid}")
        time.sleep(LOOK)
    return running


def _lives(pid: int) -> bool:
    """Whether both process and socket are there: systemd keeps the socket, a dead child its pid."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return os.path.exists(paths.socket_path(paths.runtime_dir(os.environ)))
    return False
