"""What the daemon holds and how it fares, once or every second."""

import json
import os
import time
from typing import TYPE_CHECKING, Any

import click

from roled.commands import asking
from roled.core.errors import DaemonUnreachable

if TYPE_CHECKING:
    from rich.console import RenderableType

REDRAW = 1.0  # seconds


@click.command(short_help="Show the profiles in use and how long they last.")
@click.option("-w", "--watch", is_flag=True, help="Draw it anew every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print what the daemon answers, as JSON.")
def status(*, watch: bool, as_json: bool) -> None:
    """Show the profiles in use: whose they are, how long they last, when they renew and what went wrong.

    It never starts the daemon: when that is not running, it says so and ends with exit code 4.
    """
    if as_json:
        _print_json(watch=watch)
    elif watch:
        _watch()
    else:
        from rich.console import Console

        picture = _picture(_status())
        Console(highlight=False).print(picture)


def _status() -> dict[str, Any]:
    answer: dict[str, Any] = asking.structured(asking.ask_running("status"))
    return answer


def _print_json(*, watch: bool) -> None:
    if not watch:
        click.echo(json.dumps(_status(), indent=2))
        return
    while True:
        click.echo(json.dumps(_status()))
        time.sleep(REDRAW)


def _watch() -> None:
    """Draw until Ctrl-C. A daemon that goes away is news, not the end: it may come back."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                picture = _picture(_status())
            except DaemonUnreachable as error:
                picture = Text(f"{error}\n{error.hint}")
            live.update(picture, refresh=True)
            time.sleep(REDRAW)


def _picture(answer: dict[str, Any]) -> "RenderableType":
    from roled.commands.drawing import Status

    return Status(answer, os.path.expanduser("~"))
