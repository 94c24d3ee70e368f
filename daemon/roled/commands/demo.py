"""roled demo: try roled in a sandbox, against a pretend AWS on this machine."""

import importlib.util
import os
import shutil
import signal
import sys
from types import FrameType

import click

from roled.core.errors import RoledError


@click.command(short_help="Try roled in a sandbox, against a pretend AWS.")
@click.option(
    "--check", is_flag=True, help="Play the story in every installed shell instead, and tell how it went."
)
@click.pass_context
def demo(context: click.Context, *, check: bool) -> None:
    """Open your shell in a sandbox where roled is at work, against a pretend AWS on this machine.

    Your own files, keys and AWS accounts are not touched. Without a terminal it plays the story by
    itself, as with --check, and exits with 1 if a step fails.
    """
    if not all(importlib.util.find_spec(name) for name in ("moto", "pexpect")):
        raise RoledError("the demo's pretend AWS is not installed", "install it: pip install 'roled[demo]'")
    from roled.demo import story, tour
    from roled.demo.dialects import DIALECTS

    shells = {name: dialect for name, dialect in DIALECTS.items() if shutil.which(name)}
    if not shells:
        raise RoledError("none of bash, zsh and fish is installed")
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _leave)
    if check or not (sys.stdin.isatty() and sys.stdout.isatty()):
        context.exit(0 if story.play(shells, click.echo) else 1)
    own = os.path.basename(os.environ.get("SHELL", ""))
    tour.lead(shells.get(own) or next(iter(shells.values())), click.echo)


def _leave(number: int, _frame: FrameType | None) -> None:
    """A closed window still ends daemon and sandbox."""
    sys.exit(128 + number)
