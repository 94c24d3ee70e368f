"""The promises of the README, each in real shells against a strict AWS."""

import json

from machine import Machine, eventually

ROLE = "assumed-role/marketingadminrole/roled-"
MINUTE, HOUR = 60, 3600


def identity(said: str) -> str:
    """The ARN in what `aws sts get-caller-identity` printed."""
    return str(json.loads(said[said.index("{") :])["Arn"])


WHO = "aws sts get-caller-identity --output json"


def test_promise_1_right_role_in_the_real_cli(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.run("export AWS_PROFILE=marketingadmin")
    assert ROLE in identity(terminal.run(WHO))
    assert "assumed-role/longrole/roled-" in identity(terminal.run(f"export AWS_PROFILE=long && {WHO}"))
    assert "assumed-role/auditrole/roled-" in identity(terminal.run(f"export AWS_PROFILE=auditor; {WHO}"))
    terminal.run("export AWS_PROFILE=untrusted")
    assert terminal.key() == ""


def test_promise_2_a_terminal_left_for_a_night_starts_its_first_command_with_fresh_keys(
    machine: Machine, shell: str
) -> None:
    terminal = machine.terminal(shell)
    terminal.run("export AWS_PROFILE=marketingadmin")
    before = terminal.key()
    machine.advance(12 * HOUR)
    assert ROLE in identity(machine.first(terminal, WHO))
    assert terminal.key() != before


def test_promise_3_what_has_expired_is_taken_out_and_said_once(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.run("export AWS_PROFILE=marketingadmin")
    machine.fault("status", 503)
    machine.advance(2 * HOUR)
    said = machine.first(terminal, "printenv AWS_ACCESS_KEY_ID")
    assert said.count("roled: ") == 1
    assert "ASIA" not in said
    assert "roled: " not in terminal.run("true") + terminal.run("true")
    machine.heal()
    machine.advance(10 * MINUTE)
    eventually(lambda: machine.status()["profiles"][0]["state"] == "ready")
    assert ROLE in identity(terminal.run(WHO))


def test_promise_6_a_renewal_that_fails_in_the_background_is_not_heard_of(
    machine: Machine, shell: str
) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    key = terminal.key()
    machine.fault("status", 503)
    machine.advance(50 * MINUTE)
    eventually(lambda: machine.status()["profiles"][0]["state"] == "failing")
    assert machine.first(terminal, "true") == ""
    assert terminal.key() == key
    assert machine.status()["profiles"][0]["error"]
