"""Promise 9: roled owns only the variables that it set, and gives back what it found."""

import time

import pytest
from fake_daemon import FakeDaemon, key_of
from terminal import Open, Terminal

MINE = {
    "AWS_ACCESS_KEY_ID": "AKIAMINE",
    "AWS_SECRET_ACCESS_KEY": "my secret",
    "AWS_SESSION_TOKEN": "my'token",
    "AWS_SECURITY_TOKEN": "old style",
    "AWS_CREDENTIAL_EXPIRATION": "2030-01-01T00:00:00Z",
}
ASIDE = "roled: your own AWS keys are set aside until AWS_PROFILE is unset\n"
WIN = "roled: your own AWS keys are in this shell, so AWS_PROFILE has no effect\n"


def test_promise_9_an_explicit_switch_sets_the_users_keys_aside_and_gives_them_back(
    shell: str, open_terminal: Open
) -> None:
    terminal = open_terminal(shell, environ=MINE)
    assert terminal.use("marketing") == ASIDE
    assert terminal.key() == key_of("marketing")
    assert terminal.value("AWS_SECURITY_TOKEN") == ""
    assert terminal.use("finance") == "", "that is said only when it happens"
    terminal.unset("AWS_PROFILE")
    assert {name: terminal.value(name) for name in MINE} == MINE
    assert terminal.value("AWS_REGION") == ""


def test_keys_that_were_there_first_win(shell: str, open_terminal: Open, daemon: FakeDaemon) -> None:
    terminal = open_terminal(shell, environ={"AWS_ACCESS_KEY_ID": "AKIAMINE", "AWS_PROFILE": "marketing"})
    assert WIN in terminal.greeting
    assert terminal.key() == "AKIAMINE"
    assert terminal.run("true") == ""
    assert daemon.requests == []
    terminal.use("finance")
    assert terminal.key() == key_of("finance")


def test_keys_exported_by_hand_win(terminal: Terminal) -> None:
    terminal.use("marketing")
    assert terminal.export("AWS_ACCESS_KEY_ID", "AKIAMINE").startswith(WIN)
    terminal.export("AWS_SECRET_ACCESS_KEY", "mine")
    assert (terminal.key(), terminal.value("AWS_SECRET_ACCESS_KEY")) == ("AKIAMINE", "mine")
    assert [terminal.value(name) for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "ROLED_LEASE")] == [
        "",
        "",
        "",
    ]


def test_an_unset_key_hands_the_shell_back_to_roled(terminal: Terminal) -> None:
    terminal.use("marketing")
    terminal.unset("AWS_ACCESS_KEY_ID")
    assert terminal.key() == key_of("marketing")
    terminal.export("AWS_ACCESS_KEY_ID", "AKIAMINE")
    terminal.unset("AWS_ACCESS_KEY_ID")
    assert terminal.key() == key_of("marketing")


def test_the_users_keys_are_back_while_a_profile_is_refused(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    terminal = open_terminal(shell, environ=MINE)
    terminal.use("marketing")
    daemon.refused["marketing"] = "roled: no longer"
    daemon.renew()
    assert terminal.run("true") == "roled: no longer\n"
    assert {name: terminal.value(name) for name in MINE} == MINE
    daemon.refused.clear()
    daemon.renew()
    assert terminal.key() == key_of("marketing", 2)


def test_promise_3_what_has_expired_is_taken_out_and_said_once(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    daemon.lifetime = daemon.until = 1
    terminal.use("marketing")
    assert terminal.key() == key_of("marketing")
    daemon.stop()
    expired_at = time.time() + 2
    said = ""
    while not said and time.time() < expired_at + 20:
        said = terminal.run("true")
    assert "so AWS_PROFILE=marketing has no credentials here\n       see: roled logs\n" in said
    assert terminal.key() == ""
    assert terminal.run("true") == ""


def test_keys_stay_while_they_are_good_whatever_happens_to_the_daemon(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    terminal.use("marketing")
    daemon.stop()
    daemon.renew()
    assert terminal.key() == key_of("marketing")
    assert terminal.run("true") == ""


def test_a_child_shell_goes_on_with_what_it_inherits(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    asked = len(daemon.requests)
    child(terminal)
    assert terminal.key() == key_of("marketing")
    assert daemon.requests[asked].get("pid") != daemon.requests[0].get("pid")
    daemon.renew()
    assert terminal.key() == key_of("marketing", 1)
    terminal.unset("AWS_PROFILE")
    assert (terminal.key(), terminal.value("AWS_REGION"), terminal.value("ROLED_LEASE")) == ("", "", "")


def test_exec_of_the_same_shell_goes_on(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    child(terminal, "exec ")
    daemon.renew()
    assert terminal.key() == key_of("marketing", 1)


def test_a_child_shell_without_the_profile_drops_the_inherited_keys(terminal: Terminal) -> None:
    terminal.use("it's %41 ünï")
    child(terminal, "env -u AWS_PROFILE ")
    assert (terminal.key(), terminal.value("AWS_REGION"), terminal.value("ROLED_LEASE")) == ("", "", "")


def test_a_child_shell_with_another_profile_never_has_the_parents_keys(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    terminal.use("marketing")
    daemon.on_its_way.add("finance")
    terminal.run("echo 'AWS_PROFILE=finance exec \"$@\"' > switch")
    child(terminal, "sh ./switch ")
    assert daemon.requests[-1].fields.get("AWS_ACCESS_KEY_ID") is None
    assert terminal.key() == key_of("finance")


def test_a_child_shell_keeps_inherited_keys_when_the_daemon_is_gone(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    terminal.use("marketing")
    daemon.stop()
    child(terminal)
    assert terminal.key() == key_of("marketing")


def test_inherited_keys_that_have_expired_are_dropped(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    daemon.stop()
    environ = {"AWS_PROFILE": "marketing", "AWS_ACCESS_KEY_ID": "ASIAOLD", "AWS_SESSION_TOKEN": "old"}
    terminal = open_terminal(shell, environ={**environ, "ROLED_LEASE": "ASIAOLD:1000000000::marketing"})
    assert "so AWS_PROFILE=marketing has no credentials here" in terminal.greeting
    assert (terminal.key(), terminal.value("AWS_SESSION_TOKEN")) == ("", "")


@pytest.mark.parametrize("marker", ["", ":", "::::", "AKIAMINE:soon:x:y", "OTHER:99999999999999999999:eu:b"])
def test_a_marker_that_says_nothing_leaves_the_keys_to_the_user(
    marker: str, shell: str, open_terminal: Open
) -> None:
    terminal = open_terminal(shell, environ={"AWS_ACCESS_KEY_ID": "AKIA2", "ROLED_LEASE": marker})
    assert terminal.key() == "AKIA2"


def child(terminal: Terminal, prefix: str = "") -> None:
    """Start the same shell in itself."""
    home = terminal.run("echo $HOME").strip()
    words = {"bash": f"bash --noprofile --rcfile {home}/.bashrc -i", "zsh": "zsh -i", "fish": "fish -i"}
    terminal.enter(f"{prefix}{words[terminal.shell]}")
