"""Promise 9, in the shell itself: the user's status, traps, options, aliases and prompts stay as they are."""

import os

import pytest
from fake_daemon import FakeDaemon, key_of
from terminal import Open, Terminal

STATUS = {"bash": "$?", "zsh": "$?", "fish": "$status"}
PIPESTATUS = {"bash": "${PIPESTATUS[@]}", "zsh": "${pipestatus[@]}", "fish": "$pipestatus"}

# Set-ups that break hooks: options, aliases, traps and prompts that people have in their rc files.
BASH = {
    "nounset": "set -u",
    "errexit": "set -e",
    "strict": "set -euo pipefail",
    "err trap inherited": "set -E; trap 'echo ERR' ERR",
    "noclobber": "set -o noclobber",
    "odd IFS": "IFS=_ou0h",
    "aliases": "shopt -s expand_aliases; alias local=false return=false export=false unset=false "
    "printf=false test=false set=false trap=false continue=false exec=false history=false",
    "functions named like builtins": "local() { :; }; export() { :; }; printf() { :; }; test() { :; }; "
    "unset() { :; }",
    "posix": "set -o posix",
    "nocasematch": "shopt -s nocasematch",
    "nullglob, failglob": "shopt -s nullglob failglob extglob",
    "noglob": "set -f",
    "allexport": "set -a",
    "a DEBUG trap": "trap 'fired=1' DEBUG",
    "an INT trap": "trap 'interrupted=1' INT",
    "extdebug": "shopt -s extdebug",
    "PROMPT_COMMAND ending in ;": "PROMPT_COMMAND='mine=1;'",
    "PROMPT_COMMAND as an array": "PROMPT_COMMAND=('mine=1' 'other=1')",
    "exported PROMPT_COMMAND": "export PROMPT_COMMAND='mine=1'",
}
ZSH = {
    "nounset": "setopt no_unset",
    "errexit": "setopt err_exit",
    "errreturn": "setopt err_return",
    "ksh arrays": "setopt ksh_arrays",
    "word splitting": "setopt sh_word_split glob_subst",
    "warnings": "setopt warn_create_global warn_nested_var",
    "posix": "setopt posix_identifiers posix_builtins posix_aliases posix_strings",
    "noclobber": "setopt no_clobber no_multios",
    "odd IFS": "IFS=_ou0",
    "aliases": "alias local=false return=false export=false unset=false print=false builtin=false "
    "typeset=false setopt=false",
    "global aliases": "alias -g set=x unset=x until=x OK=x L='| less' G='| grep'",
    "named directories": "setopt auto_name_dirs; PROMPT='%~<<prompt>>'",
    "null glob": "setopt null_glob no_nomatch glob_dots extended_glob",
    "allexport": "setopt all_export",
    "local traps": "setopt local_traps; TRAPINT() { return $(( 128 + $1 )) }",
    "no multibyte": "setopt no_multibyte",
    "rc quotes": "setopt rc_quotes csh_junkie_quotes",
    "no case": "setopt no_case_match no_case_glob",
    "typeset silent": "unsetopt typeset_silent",
    "functions named like builtins": "local() { : }; export() { : }; print() { : }; typeset() { : }",
}
FISH = {
    "odd IFS": "set -g IFS ''",
    "functions named like builtins": "function math; echo 7; end; function count; echo 7; end; "
    "function path; end; function printf; end",
    "vi keys": "fish_vi_key_bindings; function fish_mode_prompt; end",
}
SETUPS = [
    (shell, name) for shell, setups in (("bash", BASH), ("zsh", ZSH), ("fish", FISH)) for name in setups
]

# A stand-in for bash-preexec: it calls the functions in its arrays.
BASH_PREEXEC = r"""
bash_preexec_imported=defined precmd_functions=() preexec_functions=()
each() { local f; for f in "${precmd_functions[@]}"; do "$f"; done; ready=1; }
before() {
    local f line=$(HISTTIMEFORMAT= history 1)
    [[ -n $ready && $BASH_COMMAND != each ]] || return 0
    ready=
    for f in "${preexec_functions[@]}"; do "$f" "$line"; done
}
PROMPT_COMMAND=each
trap before DEBUG
"""


@pytest.mark.parametrize(("shell", "setup"), SETUPS, indirect=["shell"])
def test_the_hook_works_in_any_set_up(
    shell: str, setup: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    text = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell][setup]
    terminal = open_terminal(shell, before=text)
    assert terminal.greeting.strip("~[I] ") == ""
    command = "set -gx" if shell == "fish" else "'builtin' 'export'" if shell == "zsh" else "\\builtin export"
    equals = " " if shell == "fish" else "="
    terminal.run(f"{command} AWS_PROFILE{equals}Dev")
    assert terminal.key() == key_of("Dev")
    terminal.run(f"{command} AWS_PROFILE{equals}dev")
    assert terminal.key() == key_of("dev")
    asked = len(daemon.requests)
    terminal.run("true")
    assert len(daemon.requests) == asked
    daemon.renew()
    assert terminal.key() == key_of("dev", 1)
    daemon.refused["nope"] = "roled: there is no profile nope"
    assert "roled: there is no profile nope" in terminal.run(f"{command} AWS_PROFILE{equals}nope")
    assert terminal.key() == ""
    assert "_roled" not in terminal.run("env")


def test_the_status_of_the_last_command_is_kept(shell: str, open_terminal: Open, daemon: FakeDaemon) -> None:
    theme = {
        "bash": "theme() { seen=$?; }; PROMPT_COMMAND=theme",
        "zsh": "theme() { seen=$? }; precmd_functions=(theme)",
        "fish": "function theme --on-event fish_prompt; set -g seen $status; end",
    }[shell]
    for before, after in (
        (theme, ""),
        (
            "",
            theme.replace("PROMPT_COMMAND=theme", 'PROMPT_COMMAND+=("theme")').replace(
                "=(theme)", "+=(theme)"
            ),
        ),
    ):
        terminal = open_terminal(shell, before=before, after=after)
        terminal.use("marketing")
        for renewed in (False, True):
            terminal.run("sh -c 'exit 7'")
            if renewed:
                daemon.renew()
            assert terminal.run(f"echo {STATUS[shell]} $seen").split() == ["7", "7"]


def test_the_statuses_of_a_pipeline_are_kept(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    for renewed in (False, True):
        terminal.run("sh -c 'exit 3' | sh -c 'exit 4' | true")
        if renewed:
            daemon.renew()
        assert terminal.run(f"echo {PIPESTATUS[terminal.shell]}").split() == ["3", "4", "0"]
    line = f"sh -c 'exit 3' | true; echo {PIPESTATUS[terminal.shell]}"
    assert terminal.run(line).split() == ["3", "0"]


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_the_last_argument_is_kept(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("marketing")
    for renewed in (False, True):
        terminal.run("echo one two")
        if renewed:
            daemon.renew()
        assert terminal.run("echo $_") == "two\n"
    assert terminal.run("echo one two; echo $_") == "one two\ntwo\n"
    assert terminal.run("export AWS_PROFILE=b; echo one two; echo $_") == "one two\ntwo\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
@pytest.mark.parametrize("signal", ["INT", "EXIT", "ERR", "DEBUG", "USR1"])
def test_traps_of_the_users_stay(signal: str, shell: str, open_terminal: Open, daemon: FakeDaemon) -> None:
    terminal = open_terminal(shell, before=f"trap 'echo \"it is me\" >/dev/null' {signal}")
    terminal.use("marketing")
    daemon.renew()
    terminal.run("export AWS_PROFILE=b && true")
    assert "it is me" in terminal.run("trap" if shell == "zsh" else f"trap -p {signal}")
    assert terminal.key() == key_of("b", 1)


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_a_debug_trap_of_the_users_still_fires_for_each_command(shell: str, open_terminal: Open) -> None:
    terminal = open_terminal(shell, before="trap 'fired=$((fired + 1)); last=$BASH_COMMAND' DEBUG")
    terminal.use("marketing")
    assert int(terminal.run("fired=0; :; :; echo $fired").strip()) == 3
    assert terminal.run("echo $last") == "echo $last\n"


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_the_users_prompt_command_still_runs(shell: str, open_terminal: Open) -> None:
    for before in ("PROMPT_COMMAND='n=$((n + 1))'", "PROMPT_COMMAND=('n=$((n + 1))' true)"):
        terminal = open_terminal(shell, before=before)
        assert int(terminal.run("echo $n").strip()) + 1 == int(terminal.run("echo $n").strip())


def test_a_hook_loaded_twice_is_loaded_once(
    shell: str, open_terminal: Open, daemon: FakeDaemon, home: os.PathLike[str]
) -> None:
    again = f"source {home}/hook.fish" if shell == "fish" else f'eval "$(cat {home}/hook.{shell})"'
    terminal = open_terminal(shell, after=again)
    terminal.run(again)
    terminal.use("marketing")
    assert daemon.asked() == ["marketing"]
    counted = {
        "bash": "printf '%s\\n' \"${PROMPT_COMMAND[@]}\" | grep -cx _roled_prompt",
        "zsh": "print -l $precmd_functions $preexec_functions | grep -c _roled_",
        "fish": "functions --handlers-type generic | grep -c _roled_",
    }[shell]
    assert terminal.run(counted).strip() == ("1" if shell == "bash" else "2")


def test_a_shell_that_is_not_interactive_stays_silent_and_without_the_hook(
    shell: str, open_terminal: Open, home: os.PathLike[str]
) -> None:
    terminal = open_terminal(shell)
    load = (
        f"source {home}/hook.fish; functions -a"
        if shell == "fish"
        else f'eval "$(cat {home}/hook.{shell})"; typeset -f; set'
    )
    terminal.run(f"echo '{load}' > script")
    assert "_roled" not in terminal.run(f"{shell} ./script")


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_tracing_stays_on_and_shows_no_secret(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.run("set -x")
    printed = terminal.run("export AWS_PROFILE=marketing") + terminal.run("true")
    daemon.renew()
    printed += (
        terminal.run("export AWS_PROFILE=b && true")
        + terminal.run("unset AWS_PROFILE")
        + terminal.run("true")
    )
    assert "SECRET" not in printed
    assert "TOKEN" not in printed
    assert terminal.run("true").count("true") >= 1
    assert "x" in terminal.run("echo $-").split("echo")[-1] or terminal.shell == "zsh"


@pytest.mark.parametrize("shell", ["fish"], indirect=True)
def test_tracing_stays_on_and_shows_no_secret_in_fish(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.run("set -g fish_trace 1")
    printed = terminal.use("marketing")
    daemon.renew()
    printed += terminal.run("true")
    assert "SECRET" not in printed
    assert "> true" in terminal.run("true")


def test_nothing_is_exported_but_the_lease(terminal: Terminal) -> None:
    before = set(terminal.run("env | cut -d= -f1").split())
    terminal.use("marketing")
    after = set(terminal.run("env | cut -d= -f1").split())
    assert {name for name in after - before if not name.startswith("AWS_")} == {"ROLED_LEASE"}


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_bash_preexec_is_used_where_it_is_loaded(shell: str, open_terminal: Open) -> None:
    terminal = open_terminal(shell, before=BASH_PREEXEC)
    terminal.use("a")
    assert terminal.key() == key_of("a")
    assert terminal.run("export AWS_PROFILE=b && printenv AWS_ACCESS_KEY_ID").strip() == ""
    assert terminal.key() == key_of("b")
