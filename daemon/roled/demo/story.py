"""The AWS manual's story, played without a person: every installed shell at once, one daemon, one AWS."""

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roled.demo import sandbox
from roled.demo.accounts import BUCKET
from roled.demo.dialects import Dialect
from roled.demo.sandbox import Sandbox
from roled.demo.terminal import Terminal

SESSION = 15  # seconds, of which roled lets about eight pass


@dataclass(frozen=True, slots=True)
class Step:
    """What a person types next, and what they should see; the same in every shell."""

    says: str
    line: Callable[[Dialect], str]
    shows: str = ""
    succeeds: bool = True


class StepFailed(Exception):
    """The story went another way, and what would come next makes no sense."""


@dataclass(frozen=True, slots=True)
class Player:
    """Plays steps in every shell and tells how each went."""

    sandbox: Sandbox
    terminals: Mapping[str, tuple[Dialect, Terminal]]
    tell: Callable[[str], None]

    def play(self, step: Step) -> dict[str, str]:
        """What `step.shows` found, its group if it has one, by shell; or StepFailed."""
        seen = {}
        for shell, (dialect, terminal) in self.terminals.items():
            status, text = terminal.run(step.line(dialect))
            found = re.search(step.shows, text)
            if found and (status == 0) == step.succeeds:
                seen[shell] = found[found.re.groups]
                self.tell(f"  ok      {shell:5} {step.says}")
            else:
                self.tell(f"  FAILED  {shell:5} {step.says}")
                self.tell(f"{text}\n(exit status {status}; expected: {step.shows or 'success'})")
        if len(seen) < len(self.terminals):
            raise StepFailed(step.says)
        return seen

    def check(self, says: str, *, holds: bool) -> None:
        """Tell about something that no shell shows."""
        self.tell(f"  {'ok    ' if holds else 'FAILED'}  {'':5} {says}")
        if not holds:
            raise StepFailed(says)


def play(shells: Mapping[str, Dialect], tell: Callable[[str], None]) -> bool:
    """Play the story in `shells` and `tell` the person, line by line; whether all went as it should."""
    with contextlib.ExitStack() as stack:
        tell(f"making a sandbox: a HOME, and an AWS on loopback whose sessions live {SESSION} seconds")
        found = stack.enter_context(sandbox.opened(SESSION))
        tell(f"opening {', '.join(shells)}, with the hook loaded as the README says")
        terminals = {
            name: (dialect, stack.enter_context(Terminal(dialect.command, found.environ, dialect.status)))
            for name, dialect in shells.items()
        }
        try:
            _tell_story(Player(found, terminals, tell))
        except StepFailed as failed:
            tell(f"the demo failed at: {failed}")
            return False
    tell("all of it went as it should")
    return True


def _tell_story(player: Player) -> None:
    first = _tell_of_the_switch(player)
    _tell_of_the_renewal(player, first)
    _tell_of_the_end(player)


def _tell_of_the_switch(player: Player) -> dict[str, str]:
    """From no role to a role; the access key ids that the shells have then."""
    player.play(Step("user1 may not list the bucket", _list_bucket, "AccessDenied", succeeds=False))
    player.play(
        Step("name the profile marketingadmin", lambda shell: shell.set_profile.format("marketingadmin"))
    )
    player.check("AWS was asked once for all shells", holds=len(player.sandbox.calls()) == 1)
    keys = player.play(Step("the shell has keys of the role", _show_key, "key=(ASIA[A-Z0-9]+)="))
    player.play(Step("marketingadminrole may list the bucket", _list_bucket, "PRE 2026/"))
    player.play(Step("roled status shows it", lambda _: "roled status", "marketingadmin"))
    return keys


def _tell_of_the_renewal(player: Player, first: Mapping[str, str]) -> None:
    player.tell("  now nobody touches anything until that session has expired")
    _wait_until(player.sandbox.calls()[0]["at"] + SESSION + 1)
    player.check("roled has renewed it by itself", holds=len(player.sandbox.calls()) > 1)
    player.play(Step("the same terminal still lists the bucket", _list_bucket, "PRE 2026/"))
    keys = player.play(Step("its keys are others now", _show_key, "key=(ASIA[A-Z0-9]+)="))
    player.check("and not those that expired", holds=all(first[shell] != keys[shell] for shell in keys))


def _tell_of_the_end(player: Player) -> None:
    name_refused = Step(
        "a role that does not trust user1 is refused, and said so",
        lambda shell: f"{shell.set_profile.format('untrusted')}; true",
        "roled: .*untrusted",
    )
    player.play(name_refused)
    player.play(Step("the shell has no keys then", _show_key, "key=()="))
    player.play(Step("leave the profiles", lambda shell: shell.unset_profile))
    player.play(Step("user1 still may not list the bucket", _list_bucket, "AccessDenied", succeeds=False))


def _list_bucket(_: Dialect) -> str:
    return f"aws s3 ls s3://{BUCKET}"


def _show_key(_: Dialect) -> str:
    return 'echo "key=$AWS_ACCESS_KEY_ID="'


def _wait_until(at: float) -> None:
    while (left := at - time.time()) > 0:
        time.sleep(left)
