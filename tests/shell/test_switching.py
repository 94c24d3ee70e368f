"""A chosen profile reaches the next command; an unchosen one leaves nothing behind."""

import pytest
from fake_daemon import FakeDaemon, key_of
from terminal import Open, Terminal

EXPORTED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "ROLED_LEASE",
)


def test_a_chosen_profile_has_its_credentials_at_the_next_command(terminal: Terminal) -> None:
    terminal.use("marketing")
    assert terminal.key() == key_of("marketing")
    terminal.use("finance")
    assert terminal.key() == key_of("finance")


def test_everything_an_sdk_needs_is_exported(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    credentials = daemon.credentials("marketing")
    assert terminal.value("AWS_SECRET_ACCESS_KEY") == credentials.secret_access_key
    assert terminal.value("AWS_SESSION_TOKEN") == credentials.session_token
    assert terminal.value("AWS_CREDENTIAL_EXPIRATION").endswith("Z")
    assert terminal.value("AWS_REGION") == terminal.value("AWS_DEFAULT_REGION") == "eu-central-1"
    assert terminal.value("AWS_PROFILE") == "marketing"


def test_aws_default_profile_counts_where_aws_profile_is_unset(terminal: Terminal) -> None:
    terminal.export("AWS_DEFAULT_PROFILE", "fallback")
    assert terminal.key() == key_of("fallback")
    terminal.use("marketing")
    assert terminal.key() == key_of("marketing")
    terminal.unset("AWS_PROFILE")
    assert terminal.key() == key_of("fallback")


def test_an_unset_profile_leaves_nothing_of_roleds(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    terminal.unset("AWS_PROFILE")
    assert [terminal.value(name) for name in EXPORTED] == [""] * len(EXPORTED)
    assert daemon.asked()[-1] == "", "the daemon was told that this shell is done"


def test_a_refused_profile_has_none_of_the_keys_and_says_why_once(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    daemon.refused["typo"] = "roled: there is no profile typo\n       did you mean: typos"
    terminal.use("marketing")
    assert terminal.use("typo") == "roled: there is no profile typo\n       did you mean: typos\n"
    assert [terminal.value(name) for name in EXPORTED] == [""] * len(EXPORTED)
    daemon.renew()
    assert terminal.run("true") == "", "the same line is not said again"
    terminal.use("marketing")
    assert terminal.use("typo").startswith("roled: there is no profile typo")


def test_a_profile_chosen_in_the_rc_file_is_there_for_the_first_command(
    shell: str, open_terminal: Open
) -> None:
    chosen = "set -gx AWS_PROFILE marketing" if shell == "fish" else "export AWS_PROFILE=marketing"
    assert open_terminal(shell, after=chosen).key() == key_of("marketing")


def test_the_first_command_waits_for_what_the_first_prompt_did_not(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    daemon.on_its_way.add("marketing")
    terminal = open_terminal(shell, environ={"AWS_PROFILE": "marketing"})
    assert [request.get("wait") for request in daemon.requests] == ["0"]
    assert terminal.key() == key_of("marketing")
    assert daemon.requests[-1].get("wait") == "1"


def test_renewed_credentials_reach_the_next_command(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    daemon.renew()
    assert terminal.key() == key_of("marketing", 1)


def test_promise_2_a_command_asks_when_its_time_has_come(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.until = 0
    terminal.use("marketing")
    daemon.generation += 1
    asked = len(daemon.requests)
    assert terminal.key() == key_of("marketing", 1)
    assert daemon.requests[asked].get("wait") == "1", "what has too little life left is worth waiting for"


def test_promise_4_an_unchanged_prompt_asks_nobody(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    asked = len(daemon.requests)
    for _ in range(5):
        terminal.run("true")
    assert len(daemon.requests) == asked


def test_a_shell_without_a_profile_asks_nobody(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.run("true")
    assert daemon.requests == []


def test_a_region_of_the_users_own_is_left_alone(terminal: Terminal) -> None:
    terminal.export("AWS_REGION", "us-west-2")
    terminal.use("marketing")
    assert (terminal.value("AWS_REGION"), terminal.value("AWS_DEFAULT_REGION")) == ("us-west-2", "")
    terminal.unset("AWS_PROFILE")
    assert terminal.value("AWS_REGION") == "us-west-2"


def test_a_region_changed_by_hand_stays_when_the_profile_goes(terminal: Terminal) -> None:
    terminal.use("marketing")
    terminal.export("AWS_REGION", "us-west-2")
    terminal.unset("AWS_PROFILE")
    assert (terminal.value("AWS_REGION"), terminal.value("AWS_DEFAULT_REGION")) == ("us-west-2", "")


def test_a_profile_that_is_not_exported_is_not_in_use(terminal: Terminal, daemon: FakeDaemon) -> None:
    chosen = terminal.run(
        "set -g AWS_PROFILE marketing" if terminal.shell == "fish" else "AWS_PROFILE=marketing"
    )
    assert "roled: AWS_PROFILE is not exported, so commands do not see it" in chosen
    assert terminal.key() == ""
    assert terminal.run("true") == ""
    assert daemon.requests == []
    if terminal.shell == "fish":
        terminal.use("marketing")
    else:
        terminal.run("export AWS_PROFILE")
    assert terminal.key() == key_of("marketing")


@pytest.mark.parametrize(
    "profile", ["with space", "it's", "a;touch x", "$(touch x)", "`touch x`", "-n", "ünï", "a\\b"]
)
def test_promise_8_a_profile_may_have_any_name(profile: str, terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.refused[profile] = "roled: no"
    terminal.use(profile)
    assert daemon.asked()[-1] == profile
    del daemon.refused[profile]
    terminal.use("other")
    terminal.use(profile)
    assert terminal.key() == key_of(profile)
    assert terminal.run("ls") == "" or "x" not in terminal.run("ls").split()
