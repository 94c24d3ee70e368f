"""Promise 1: a command never starts with roled's credentials for another profile than AWS_PROFILE says then.

Where a shell does not tell in time which profile a command will see, it must start without roled's keys.
"""

from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, key_of
from terminal import Open, Terminal

SHOW = "sh -c 'echo $AWS_PROFILE $AWS_ACCESS_KEY_ID'"
A, B, C = (f"{profile} {key_of(profile)}" for profile in "abc")

# What is typed while the profile is a, and what each SHOW must print.
EXACT = {
    "a switch, then a command": ("export AWS_PROFILE=b; SHOW", [B]),
    "a switch and a command": ("export AWS_PROFILE=b && SHOW", [B]),
    "a quoted switch and a pipeline": ("export AWS_PROFILE=b && SHOW | cat", [B]),
    "two switches": ("export AWS_PROFILE=b; SHOW; export AWS_PROFILE=c; SHOW", [B, C]),
    "there and back": ("export AWS_PROFILE=b; SHOW; export AWS_PROFILE=a; SHOW", [B, A]),
    "a prefix": ("AWS_PROFILE=b SHOW", [B]),
    "a prefix among others": ("FOO=1 AWS_PROFILE=b BAR=2 SHOW", [B]),
    "env": ("env AWS_PROFILE=b SHOW", [B]),
    "a prefix, then a plain command": ("AWS_PROFILE=b SHOW; SHOW", [B, A]),
    "a block": ("{ export AWS_PROFILE=b; SHOW; }", [B]),
    "a loop": ("for p in b c; do export AWS_PROFILE=$p; SHOW; done", [B, C]),
    "a condition": ("if export AWS_PROFILE=b; then SHOW; fi", [B]),
    "an evaluated text": ("eval 'export AWS_PROFILE=b; SHOW_IN_QUOTES'", [B]),
    "a mere reading": ('echo "$AWS_PROFILE" && SHOW', ["a", A]),
}
UNSURE = {
    "a prefix and a plain command": ("AWS_PROFILE=b SHOW && SHOW", ["b", "a"]),
    "a prefix in a pipeline": ("AWS_PROFILE=b SHOW | (cat; SHOW)", ["b", "a"]),
    "a computed prefix": ("x=b; AWS_PROFILE=$x SHOW", ["b"]),
    "a computed switch": ("x=b; export AWS_PROFILE=$x && SHOW", ["b"]),
    "a switch at the end": ("SHOW && export AWS_PROFILE=b && SHOW", ["a", "b"]),
    "an unset": ("unset AWS_PROFILE && SHOW", [""]),
    "a prefix and a subshell": ("AWS_PROFILE=b SHOW; (SHOW)", ["b", "a"]),
    "a prefix with a substitution": ("AWS_PROFILE=b echo $(SHOW)", ["a"]),
    "a failing switch": ("export AWS_PROFILE=b && false; SHOW", ["b"]),
}


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
@pytest.mark.parametrize("case", EXACT)
def test_promise_1_the_profile_of_the_moment(case: str, terminal: Terminal) -> None:
    line, expected = EXACT[case]
    terminal.use("a")
    assert shown(terminal, line) == expected
    assert terminal.run(SHOW).split()[1:] == [key_of(terminal.value("AWS_PROFILE"))]


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
@pytest.mark.parametrize("case", UNSURE)
def test_promise_1_no_keys_rather_than_another_profiles(case: str, terminal: Terminal) -> None:
    line, profiles = UNSURE[case]
    terminal.use("a")
    for words, profile in zip(shown(terminal, line), profiles, strict=True):
        assert words in (profile, f"{profile} {key_of(profile)}")
    profile = terminal.value("AWS_PROFILE")
    assert terminal.key() == (key_of(profile) if profile else "")


FISH_EXACT = {
    "a switch and a command": ("set -gx AWS_PROFILE b && SHOW", [B]),
    "a switch; a command": ("set -gx AWS_PROFILE b; SHOW", [B]),
    "export": ("export AWS_PROFILE=b; SHOW", [B]),
    "a prefix": ("AWS_PROFILE=b SHOW", [B]),
    "a computed prefix": ("set x b; AWS_PROFILE=$x SHOW", ["b"]),
    "a loop": ("for p in b c; set -gx AWS_PROFILE $p; SHOW; end", [B, C]),
    "a block": ("begin; set -gx AWS_PROFILE b; SHOW; end", [B]),
    "a substitution": ("echo (set -gx AWS_PROFILE b; SHOW)", [B]),
    "a pipeline": ("set -gx AWS_PROFILE b; SHOW | cat", [B]),
    "an evaluated text": ("eval 'set -gx AWS_PROFILE b; SHOW_IN_QUOTES'", [B]),
}
FISH_UNSURE = {
    "a prefix, then a plain command": ("AWS_PROFILE=b SHOW; SHOW", ["b", "a"]),
    "a prefix and a plain command": ("AWS_PROFILE=b SHOW && SHOW", ["b", "a"]),
    "a local variable": ("begin; set -lx AWS_PROFILE b; SHOW; end; SHOW", ["b", "a"]),
    "a prefix with a substitution": ("AWS_PROFILE=b echo (SHOW)", ["?"]),
    "a function": ("function f; AWS_PROFILE=b SHOW; SHOW; end; f", ["b", "a"]),
}


@pytest.mark.parametrize("shell", ["fish"], indirect=True)
@pytest.mark.parametrize("case", FISH_EXACT)
def test_promise_1_the_profile_of_the_moment_in_fish(case: str, terminal: Terminal) -> None:
    line, expected = FISH_EXACT[case]
    terminal.use("a")
    for words, wanted in zip(shown(terminal, line), expected, strict=True):
        assert words in (wanted, f"{wanted} {key_of(wanted)}")


@pytest.mark.parametrize("shell", ["fish"], indirect=True)
@pytest.mark.parametrize("case", FISH_UNSURE)
def test_promise_1_no_keys_rather_than_another_profiles_in_fish(case: str, terminal: Terminal) -> None:
    line, profiles = FISH_UNSURE[case]
    terminal.use("a")
    for words, profile in zip(shown(terminal, line), profiles, strict=True):
        wanted = words.split()[0] if profile == "?" else profile
        assert words in (wanted, f"{wanted} {key_of(wanted)}")
    assert terminal.key() == key_of("a")


def test_a_function_that_switches(shell: str, terminal: Terminal) -> None:
    body = "set -gx AWS_PROFILE $argv" if shell == "fish" else 'export AWS_PROFILE="$1"'
    terminal.run(f"function asp; {body}; end" if shell == "fish" else f"asp() {{ {body}; }}")
    terminal.use("a")
    assert shown(terminal, "asp b; SHOW") == [B]
    assert shown(terminal, "asp c && SHOW")[0] in (C, "c")


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
@pytest.mark.parametrize(
    ("body", "profiles"),
    [
        ("export AWS_PROFILE=b; SHOW", ["b"]),
        ("AWS_PROFILE=b SHOW; SHOW", ["b", "a"]),
        ("AWS_PROFILE=b SHOW && SHOW", ["b", "a"]),
        (":; export AWS_PROFILE=b", []),
    ],
)
@pytest.mark.parametrize("call", ["f", "f && SHOW", "f; SHOW", "source FILE", "source FILE && SHOW"])
def test_promise_1_inside_functions_and_files(
    call: str, body: str, profiles: list[str], terminal: Terminal, home: Path
) -> None:
    body = body.replace("SHOW", SHOW)
    (home / "file").write_text(f"{body}\n")
    terminal.run(f"f() {{ {body}; }}")
    terminal.use("a")
    printed = shown(terminal, call.replace("FILE", "./file"))
    for words in printed:
        profile = words.split()[0]
        assert words in (profile, f"{profile} {key_of(profile)}")
    assert [words.split()[0] for words in printed][: len(profiles)] == profiles


@pytest.mark.parametrize("shell", ["zsh"], indirect=True)
def test_a_debug_trap_of_the_users_in_zsh_is_left_alone(terminal: Terminal) -> None:
    terminal.run("trap 'fired=1' DEBUG")
    terminal.run("export AWS_PROFILE=a && true")
    assert "fired=1" in terminal.run("trap")
    assert terminal.key() == key_of("a")


def test_the_users_own_keys_are_not_touched_by_a_prefix(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    terminal = open_terminal(shell, environ={"AWS_ACCESS_KEY_ID": "MINE"})
    assert shown(terminal, "AWS_PROFILE=b SHOW; SHOW")[-1] == "MINE"


def shown(terminal: Terminal, line: str) -> list[str]:
    in_quotes = (
        SHOW.replace("'", '"').replace("$", "\\$")
        if terminal.shell != "fish"
        else 'sh -c "echo \\$AWS_PROFILE \\$AWS_ACCESS_KEY_ID"'
    )
    text = line.replace("SHOW_IN_QUOTES", in_quotes).replace("SHOW", SHOW)
    return [
        " ".join(words.split())
        for words in terminal.run(text).splitlines()
        if "roled:" not in words and words[:7] != " " * 7
    ]
