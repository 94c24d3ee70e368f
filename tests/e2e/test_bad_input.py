"""What goes wrong is one line and a hint, in each shell, and leaves none of roled's keys behind."""

import re
from collections.abc import Callable

import pytest
from machine import SHELLS, Machine

# AWS does not say which of the two is missing.
BOTH_PERMISSIONS = (
    r"policy of arn:aws:iam::123456789012:user/user1 must allow sts:AssumeRole .* trust policy of"
)
ROLE = "arn:aws:iam::123456789012:role"


def config(machine: Machine, text: str) -> None:
    with (machine.home / ".aws" / "config").open("a") as file:
        file.write(text)


def broken(machine: Machine) -> None:
    config(machine, "\nthis line says nothing\n")


def loop(machine: Machine) -> None:
    for name, source in ("ab", "ba"):
        config(machine, f"[profile {name}]\nrole_arn = {ROLE}/x\nsource_profile = {source}\n")


# profile, what is done before, the line, the hint
CASES: list[tuple[str, Callable[[Machine], None] | None, str, str]] = [
    ("marketing", None, r"no profile marketing\b", r"marketingadmin"),
    ("a", loop, r"circle: a -> b -> a", r"source_profile"),
    (
        "lost",
        lambda machine: config(machine, f"[profile lost]\nrole_arn = {ROLE}/x\nsource_profile = nowhere\n"),
        r"\bnowhere\b",
        r".",
    ),
    (
        "odd",
        lambda machine: config(
            machine, "[profile odd]\nrole_arn = arn:aws:iam::1:user/x\nsource_profile = default\n"
        ),
        r"role_arn of profile odd",
        r"arn:aws:iam::123456789012:role/NAME",
    ),
    (
        "sso",
        lambda machine: config(
            machine, "[profile sso]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = x\n"
        ),
        r"sso.*(not supported yet|does not support)",
        r".",
    ),
    ("unpermitted", None, r"user/user1 may not assume .*unpermittedrole", BOTH_PERMISSIONS),
    ("untrusted", None, r"user/user1 may not assume .*untrustedrole", BOTH_PERMISSIONS),
    ("too-long", None, r"43200 s", r"MaxSessionDuration"),
    (
        "marketingadmin",
        lambda machine: machine.fault("clock", 900),
        r"clock is 15 minutes behind",
        r"set this machine's clock",
    ),
    ("marketingadmin", lambda machine: machine.fault("drop"), r"127\.0\.0\.1|AWS|STS", r""),
]


@pytest.mark.parametrize(
    ("profile", "arrange", "line", "hint"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)]
)
def test_bad_input_is_one_line_and_a_hint_in_each_shell(
    machine: Machine, profile: str, arrange: Callable[[Machine], None] | None, line: str, hint: str
) -> None:
    if arrange:
        arrange(machine)
    for shell in SHELLS:
        terminal = machine.terminal(shell)
        said = terminal.use(profile).strip("\n").split("\n")
        assert said[0].startswith("roled: ")
        assert re.search(line, said[0]), said
        assert len(said) == 1 + bool(hint), said
        if hint:
            assert re.match(r" {7}\S", said[1])
            assert re.search(hint, said[1]), said
        assert terminal.key() == ""
        assert "roled" not in terminal.run("true")


def test_a_broken_config_shows_the_line_and_what_it_said_before_counts(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    key = terminal.key()
    broken(machine)
    number = (machine.home / ".aws" / "config").read_text().rstrip().count("\n") + 1
    assert terminal.key() == key
    said = terminal.use("auditor")
    assert re.search(rf"config, line {number}: ", said)
    assert "this line says nothing" not in said
    assert terminal.key() not in ("", key)


def test_a_config_that_never_made_sense_gives_nothing(machine: Machine, shell: str) -> None:
    broken(machine)
    terminal = machine.terminal(shell)
    assert "config, line " in terminal.use("marketingadmin")
    assert terminal.key() == ""
    assert machine.calls() == []


def test_the_network_comes_back(machine: Machine, shell: str) -> None:
    machine.fault("drop")
    terminal = machine.terminal(shell)
    assert terminal.use("marketingadmin").startswith("roled: ")
    machine.heal()
    machine.advance(90)
    machine.first(terminal, "true")
    assert terminal.key().startswith("ASIA")


def test_commands_say_the_same(machine: Machine) -> None:
    wrong = machine.roled("env", "marketing")
    assert (wrong.stdout, wrong.returncode) == ("", 1)
    assert re.fullmatch(r"roled: .*no profile marketing.*\n       .*marketingadmin.*\n", wrong.stderr)
