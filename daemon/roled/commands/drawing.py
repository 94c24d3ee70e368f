"""What `status` and `profiles` look like: the daemon's answers as rich draws them, to the width there is.

Whatever comes from a config file or from AWS is made printable first and is Text, never markup: a
profile may be called `[red]`, or hold an escape sequence.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from roled import __version__
from roled.core.protocol import printable

Rows = Sequence[Mapping[str, Any]]

WIDE = 90  # columns; below that a profile takes a few lines instead of one
BAR = 10  # cells
FOLDABLE = ("profile", "role", "source")
NOTABLE_SKEW = 60.0  # seconds by which this machine's clock may be off without a word

STYLES = {
    "ready": "green",
    "renewing": "cyan",
    "failing": "yellow",
    "refused": "red",
    "expired": "red",
    "pending": "dim",
}


class Status:
    """The answer to `status`, drawn at the width of the console that prints it."""

    def __init__(self, answer: Mapping[str, Any], home: str) -> None:
        self._answer = answer
        self._home = home

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        profiles = sorted(self._answer["profiles"], key=lambda profile: str(profile["profile"]))
        yield _facts(self._answer, self._home)
        yield Text()
        if not profiles:
            yield Text("no profile is in use: set AWS_PROFILE in a shell that has the hook")
        elif options.max_width >= WIDE:
            yield _table(profiles, self._answer["now"], ascii_only=options.ascii_only)
        else:
            yield from _blocks(profiles, self._answer["now"], ascii_only=options.ascii_only)
        yield from _problems(profiles)


class Profiles:
    """The answer to `profiles`, drawn at the width of the console that prints it."""

    def __init__(self, answer: Rows) -> None:
        self._answer = answer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _plain_table("profile", "kind", "account", "role", "source", "region")
        for profile in self._answer:
            table.add_row(
                _text(profile["profile"], "bold"),
                _text(profile["kind"], "red" if profile["kind"] == "broken" else ""),
                _text(profile["account"]),
                _text(_role(profile["role_arn"])),
                _text(profile["source_profile"]),
                _text(profile["region"]),
            )
        yield table
        yield from _problems([profile for profile in self._answer if profile["kind"] == "broken"])


def duration(seconds: float) -> str:
    """`42 min`, `1 h 05 min`: no finer than a person needs, and never rounded up."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hours} h {minute:02} min"
    if minutes >= 10:
        return f"{minutes} min"
    return f"{minutes} min {second:02} s" if minutes else f"{second} s"


def _facts(answer: Mapping[str, Any], home: str) -> Table:
    """The daemon's own state: a label and a line each."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, line in _lines(answer, home):
        facts.add_row(label, line)
    return facts


def _lines(answer: Mapping[str, Any], home: str) -> Iterator[tuple[str, Text]]:
    up = duration(answer["now"] - answer["started_at"])
    yield "daemon", _text(f"roled {answer['version']}, pid {answer['pid']}, up {up}")
    if answer["version"] != __version__:
        yield "", _text(f"this command is roled {__version__}; let them agree: roled restart", "yellow")
    store = answer["store"]
    if store["working"]:
        yield "store", _text(store["name"])
    else:
        yield "store", _text(": ".join(filter(None, (store["name"], store["error"]))), "yellow")
    for number, file in enumerate(answer["config"]):
        label = "" if number else "config"
        path, error = file["path"], file["error"]  # the error names the path by itself
        line = f"{error}; what it said before stays in force" if error else path
        yield label, _text(line.replace(path, _under_home(path, home)), "red" if error else "")
    skew = answer["clock_skew"] or 0
    if abs(skew) > NOTABLE_SKEW:
        direction = "behind" if skew > 0 else "ahead of"
        yield "clock", _text(f"{duration(abs(skew))} {direction} that of AWS", "yellow")


def _table(profiles: Rows, now: float, *, ascii_only: bool) -> Table:
    table = _plain_table("profile", "account", "role", "time left", "renewal", "shells")
    for profile in profiles:
        table.add_row(
            _text(profile["profile"], "bold"),
            _text(profile["account"]),
            _text(_role(profile["role_arn"])),
            _time_left(profile, now, ascii_only=ascii_only),
            _text(_renewal(profile, now)),
            _text(profile["shells"]),
        )
    return table


def _blocks(profiles: Rows, now: float, *, ascii_only: bool) -> Iterator[RenderableType]:
    for profile in profiles:
        shells = profile["shells"]
        yield Text.assemble(
            _text(profile["profile"], "bold"), f", {shells} {'shell' if shells == 1 else 'shells'}"
        )
        left = _time_left(profile, now, ascii_only=ascii_only)
        renewal = _renewal(profile, now)
        yield Padding(Text.assemble(left, f", renewal {renewal}" if renewal != "-" else ""), (0, 0, 0, 2))
        yield Padding(_text(_joined(profile["account"], _role(profile["role_arn"]))), (0, 0, 0, 2))


def _problems(profiles: Rows) -> Iterator[RenderableType]:
    """The last error of each profile that has one, with the next step below."""
    troubled = [profile for profile in profiles if profile["error"]]
    if troubled:
        yield Text()
    for profile in troubled:
        style = STYLES.get(profile.get("state", ""), "red")
        yield Text.assemble(_text(profile["profile"], "bold"), ": ", _text(profile["error"], style))
        if profile["hint"]:
            yield Padding(_text(profile["hint"]), (0, 0, 0, 2))


def _time_left(profile: Mapping[str, Any], now: float, *, ascii_only: bool) -> Text:
    """A bar, and in words what its colour says."""
    state = profile["state"]
    left = (profile["expires_at"] or 0) - now
    share = left / profile["lifetime"] if left > 0 and profile["lifetime"] else 0.0
    filled = min(BAR, round(BAR * share))
    full, empty = "#-" if ascii_only else "█░"
    words = duration(left) if left > 0 else state
    return Text.assemble((full * filled + empty * (BAR - filled), STYLES.get(state, "")), f" {words}")


def _renewal(profile: Mapping[str, Any], now: float) -> str:
    """When the daemon will next ask AWS, in words."""
    if profile["state"] == "renewing":
        return "going on"
    if profile["state"] == "refused":
        return "after a change"
    at = profile["retry_at"] or profile["renew_at"]
    if at is None:
        return "-"
    return f"in {duration(at - now)}" if at > now else "due"


def _plain_table(*headers: str) -> Table:
    """Columns without lines; those that hold names give way when space is short, and lose no letter."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header not in FOLDABLE)
    return table


def _role(role_arn: str | None) -> str:
    """The name of the role with its path, as the console shows it."""
    return (role_arn or "").partition(":role/")[2]


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _under_home(path: str, home: str) -> str:
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def _text(value: object, style: str = "") -> Text:
    return Text(printable("-" if value in (None, "") else str(value)), style)
