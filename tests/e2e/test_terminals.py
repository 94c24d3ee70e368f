"""Open terminals, the way people have them: several at once, one inside another, in tmux, for days."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import BIN, LOAD, SHELLS, Aws, Machine, eventually

HOUR = 3600
AWS_CLIS = {"v1 from PyPI": f"{BIN}/aws", "v2 from Debian": "/usr/bin/aws"}


def role(said: str) -> str:
    """The role in the ARN that a command printed."""
    found = re.search(r"assumed-role/(\w+)/(\S+?)[\"\s]", said)
    assert found, said
    assert found[2].startswith("roled-"), "the CLI assumed the role by itself"
    return found[1]


@pytest.mark.parametrize("command", AWS_CLIS.values(), ids=AWS_CLIS)
def test_the_real_aws_cli_gets_the_roles_identity_and_its_permissions(
    machine: Machine, shell: str, command: str
) -> None:
    terminal = machine.terminal(shell)
    s3 = f"{command} --endpoint-url {machine.endpoint} s3 ls s3://{machine.bucket}"
    terminal.export("AWS_PROFILE", "user1")
    assert "AccessDenied" in terminal.run(s3)
    terminal.use("marketingadmin")
    assert "2026/" in terminal.run(s3)
    who = terminal.run(f"{command} --endpoint-url {machine.endpoint} sts get-caller-identity")
    assert role(who) == "marketingadminrole"


def test_what_is_exported(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.export("AWS_SECURITY_TOKEN", "stale")
    terminal.use("marketingadmin")
    shown = terminal.run("printenv | grep -E '^(AWS_|ROLED_LEASE)' | sort")
    values = dict(line.split("=", 1) for line in shown.split())
    assert values["AWS_PROFILE"] == "marketingadmin"
    assert values["AWS_REGION"] == values["AWS_DEFAULT_REGION"] == "us-west-2"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", values["AWS_CREDENTIAL_EXPIRATION"])
    assert values["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ROLED_LEASE"} <= values.keys()
    assert "AWS_SECURITY_TOKEN" not in values
    terminal.unset("AWS_PROFILE")
    assert terminal.run("printenv | grep -E '^(AWS_|ROLED_LEASE)' | sort").split() == [
        "AWS_EC2_METADATA_DISABLED=true",
        "AWS_SECURITY_TOKEN=stale",
    ]


def test_a_profile_with_only_static_keys_is_left_to_the_sdk(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    assert terminal.use("user1") == ""
    assert terminal.run("printenv | grep -cE '^AWS_(ACCESS|SECRET|SESSION)|^ROLED_LEASE'").strip() == "0"
    assert "user/user1" in terminal.run("aws sts get-caller-identity")


def test_the_default_profile_variable_counts_when_the_other_is_unset(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.export("AWS_DEFAULT_PROFILE", "auditor")
    assert role(terminal.run("aws sts get-caller-identity")) == "auditrole"
    terminal.use("marketingadmin")
    assert ":marketingadmin" in terminal.value("ROLED_LEASE")
    terminal.unset("AWS_PROFILE")
    assert ":auditor" in terminal.value("ROLED_LEASE")


def test_a_chain_of_roles(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("reports")
    assert role(terminal.run("aws sts get-caller-identity")) == "reportsrole"
    assert [call["role_arn"].rsplit("/", 1)[-1] for call in machine.calls()] == [
        "marketingadminrole",
        "reportsrole",
    ]


def test_the_files_that_the_asking_shell_names_count(machine: Machine, shell: str, tmp_path: Path) -> None:
    config = (machine.home / ".aws" / "config").read_text()
    (tmp_path / "other").write_text(config.replace("marketingadminrole", "longrole"))
    here, there = machine.terminal(shell), machine.terminal(shell)
    there.export("AWS_CONFIG_FILE", str(tmp_path / "other"))
    for terminal in (here, there):
        terminal.use("marketingadmin")
    assert role(here.run("aws sts get-caller-identity")) == "marketingadminrole"
    assert role(there.run("aws sts get-caller-identity")) == "longrole"


def test_promise_5_three_shells_one_call_and_one_renewal(machine: Machine) -> None:
    terminals = [machine.terminal(shell) for shell in SHELLS]
    for terminal in terminals:
        terminal.use("marketingadmin")
    assert len(machine.calls()) == 1
    machine.advance(HOUR)
    keys = {machine.first(terminal, "printenv AWS_ACCESS_KEY_ID").strip() for terminal in terminals}
    assert len(keys) == 1
    assert len(machine.calls()) == 2


def test_an_edited_role_reaches_every_open_shell_by_its_next_command(machine: Machine) -> None:
    terminals = [machine.terminal(shell) for shell in SHELLS]
    for terminal in terminals:
        terminal.use("marketingadmin")
    machine.edit("role/marketingadminrole", "role/longrole")
    stamps = machine.runtime / "stamps"
    eventually(lambda: not list(stamps.iterdir()))
    for terminal in terminals:
        assert role(terminal.run("aws sts get-caller-identity")) == "longrole"


def test_promise_10_a_killed_daemon_costs_nothing(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    key = terminal.key()
    eventually(machine.resting)
    machine.kill_daemon()
    assert terminal.key() == key
    terminal.use("auditor")
    terminal.use("marketingadmin")
    assert terminal.key() == key
    assert sum(call["role_arn"].endswith("marketingadminrole") for call in machine.calls()) == 1


def test_promise_10_a_runtime_folder_that_vanishes_comes_back(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    machine.runtime.rename(machine.runtime.with_name("gone"))  # at once, whatever the daemon is writing there
    terminal.use("auditor")
    assert role(terminal.run("aws sts get-caller-identity")) == "auditrole"


def start(machine: Machine, shell: str) -> str:
    """The line that starts a shell of this kind with its rc file."""
    return f"bash --rcfile {machine.home}/.bashrc -i" if shell == "bash" else f"{shell} -i"


def test_a_nested_shell_goes_on_and_the_outer_one_too(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    key = terminal.key()
    terminal.enter(start(machine, shell))
    assert terminal.key() == key
    machine.advance(HOUR)
    assert role(machine.first(terminal, "aws sts get-caller-identity")) == "marketingadminrole"
    terminal.unset("AWS_PROFILE")
    assert terminal.run("printenv | grep -cE '^AWS_(ACCESS|SECRET|SESSION)|^ROLED_LEASE'").strip() == "0"


def test_a_shell_of_another_kind_takes_over_what_is_roleds(machine: Machine) -> None:
    for shell in SHELLS:
        machine.terminal(shell).close()  # leaves its rc file
    terminal = machine.terminal("bash")
    terminal.use("marketingadmin")
    key = terminal.key()
    for inner in ("zsh", "bash"):
        terminal.enter(start(machine, inner))
        assert terminal.key() == key
    terminal.use("auditor")
    assert role(terminal.run("aws sts get-caller-identity")) == "auditrole"


def test_exec_keeps_the_terminal_going(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.use("marketingadmin")
    key = terminal.key()
    terminal.enter(f"exec {start(machine, shell)}")
    assert terminal.key() == key
    machine.advance(HOUR)
    assert role(machine.first(terminal, "aws sts get-caller-identity")) == "marketingadminrole"


def test_env_and_credential_process_serve_what_has_no_hook(machine: Machine) -> None:
    text = machine.roled("env", "marketingadmin", "--shell", "bash").stdout
    shown = subprocess.run(
        ["bash", "-c", f"{text}\naws sts get-caller-identity"],
        env=machine.environ | {"AWS_ENDPOINT_URL": machine.endpoint},
        capture_output=True,
        text=True,
        check=True,
    )
    assert role(shown.stdout) == "marketingadminrole"
    printed = json.loads(machine.roled("credential-process", "--profile", "marketingadmin").stdout)
    assert printed.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert len(machine.calls()) == 1


@pytest.fixture
def real_time(tmp_path: Path) -> Iterator[Machine]:
    """A machine on the real clock, for programs that libfaketime breaks."""
    with Aws(tmp_path / "aws") as aws, Machine(tmp_path, aws) as machine:
        for name in aws.environ:
            del machine.environ[name]
        yield machine


def test_tmux_panes_each_go_on(real_time: Machine) -> None:
    machine = real_time

    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(machine.home / "tmux"), "-f", "/dev/null", *words]
        return subprocess.run(command, env=machine.environ, capture_output=True, text=True, check=True).stdout

    for shell in SHELLS:
        machine.terminal(shell).close()  # leaves its rc file
    tmux("new-session", "-d", "-x", "200", "-y", "50", start(machine, "bash"))
    try:
        for other in ("zsh", "fish"):
            tmux("split-window", start(machine, other))
        for pane, profile in enumerate(("marketingadmin", "auditor", "long")):
            tmux("send-keys", "-t", f":.{pane}", f"export AWS_PROFILE={profile}", "Enter")
            tmux("send-keys", "-t", f":.{pane}", "aws sts get-caller-identity", "Enter")
        for pane, name in enumerate(("marketingadminrole", "auditrole", "longrole")):
            shown = eventually(
                lambda pane=pane: re.search(
                    r"assumed-role/(\w+)/roled-", tmux("capture-pane", "-p", "-t", f":.{pane}")
                ),
                60,
            )
            assert shown[1] == name
        assert len(machine.status()["shells"]) == 3
    finally:
        tmux("kill-server")


def test_promise_7_no_secret_is_seen_under_xtrace_nor_in_the_log(machine: Machine, shell: str) -> None:
    terminal = machine.terminal(shell)
    terminal.run("set fish_trace 1" if shell == "fish" else "set -x")
    shown = terminal.use("marketingadmin") + terminal.run("true")
    terminal.run("set -e fish_trace" if shell == "fish" else "set +x")
    secret, token = terminal.value("AWS_SECRET_ACCESS_KEY"), terminal.value("AWS_SESSION_TOKEN")
    assert secret
    assert token
    (log,) = Path(machine.environ["XDG_STATE_HOME"]).rglob("daemon.log")
    for place in (shown, log.read_text()):
        assert secret not in place
        assert token not in place


def test_the_readmes_lines_load_the_hook() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for line in LOAD.values():
        assert line in readme
