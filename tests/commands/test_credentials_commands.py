"""`roled env`, `roled credential-process` and `roled forget`."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from scripted_daemon import FakeDaemon, Roled

from roled.core.errors import AssumeRefused, UnknownProfile
from roled.core.protocol import reply

Credentials = dict[str, Any]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_env_sets_the_variables_in_the_shell_that_evaluates_it(
    roled: Roled, fake: FakeDaemon, credentials: Credentials, environ: dict[str, str], shell: str
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    fake.answer("credentials", credentials | {"session_token": "it's$(x)\\'"})
    code = roled("env", "marketingadmin", "--shell", shell).stdout
    evaluated = subprocess.run(
        [program, "-c", f"{code}\nenv"],
        env=environ | {"AWS_SECURITY_TOKEN": "old"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert evaluated.stderr == ""
    variables = dict(line.split("=", 1) for line in evaluated.stdout.splitlines() if line.startswith("AWS_"))
    assert variables == {
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLEEXAMPLE12",
        "AWS_SECRET_ACCESS_KEY": "made/up+secret",
        "AWS_SESSION_TOKEN": "it's$(x)\\'",
        "AWS_CREDENTIAL_EXPIRATION": "2033-05-18T03:33:20Z",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


@pytest.mark.parametrize(
    ("login_shell", "line"),
    [
        ("/usr/bin/fish", "set -gx AWS_REGION 'eu-central-1'"),
        ("/bin/zsh", "export AWS_REGION=eu-central-1"),
        ("/bin/dash", "export AWS_REGION=eu-central-1"),
        ("", "export AWS_REGION=eu-central-1"),
    ],
)
def test_env_speaks_the_language_of_the_login_shell(
    roled: Roled, fake: FakeDaemon, credentials: Credentials, login_shell: str, line: str
) -> None:
    fake.answer("credentials", credentials)
    assert line in roled("env", "marketingadmin", env={"SHELL": login_shell}).stdout.splitlines()


def test_env_leaves_a_region_that_the_user_chose(
    roled: Roled, fake: FakeDaemon, credentials: Credentials
) -> None:
    fake.answer("credentials", credentials)
    assert "REGION" not in roled("env", "marketingadmin", env={"AWS_REGION": "us-east-1"}).stdout


def test_env_replaces_a_region_that_roled_set_for_another_profile(
    roled: Roled, fake: FakeDaemon, credentials: Credentials
) -> None:
    fake.answer("credentials", credentials | {"region": None})
    held = {"AWS_REGION": "us-east-1", "ROLED_LEASE": "ASIAOTHEROTHEROTHER1:2000000000:us-east-1:other"}
    assert "unset AWS_REGION" in roled("env", "marketingadmin", env=held).stdout.splitlines()


def test_env_as_json_says_null_for_unset(roled: Roled, fake: FakeDaemon, credentials: Credentials) -> None:
    fake.answer("credentials", credentials)
    variables = json.loads(roled("env", "marketingadmin", "--json").stdout)
    assert variables["AWS_ACCESS_KEY_ID"] == "ASIAEXAMPLEEXAMPLE12"
    assert variables["AWS_SECURITY_TOKEN"] is None


def test_credential_process_prints_what_aws_specifies(
    roled: Roled, fake: FakeDaemon, credentials: Credentials
) -> None:
    fake.answer("credentials", credentials)
    finished = roled("credential-process", "--profile", "marketingadmin")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert json.loads(finished.stdout) == {
        "Version": 1,
        "AccessKeyId": "ASIAEXAMPLEEXAMPLE12",
        "SecretAccessKey": "made/up+secret",
        "SessionToken": "made/up+token==",
        "Expiration": "2033-05-18T03:33:20Z",
    }


def test_the_daemon_learns_which_files_and_variables_the_asking_shell_has(
    roled: Roled, fake: FakeDaemon, credentials: Credentials
) -> None:
    fake.answer("credentials", credentials)
    roled(
        "credential-process",
        "--profile",
        "two words & ümlaut",
        env={
            "AWS_PROFILE": "",
            "AWS_CONFIG_FILE": "/elsewhere/config",
            "AWS_SECRET_ACCESS_KEY": "stays/here",
        },
    )
    fields = fake.asked[-1].fields
    assert fields["profile"] == "two words & ümlaut"
    assert fields["AWS_CONFIG_FILE"] == "/elsewhere/config"
    assert fields["AWS_PROFILE"] == ""
    assert "AWS_DEFAULT_PROFILE" not in fields
    assert "AWS_SECRET_ACCESS_KEY" not in fields


@pytest.mark.parametrize("words", [("env", "nope"), ("credential-process", "--profile", "nope")])
def test_a_refusal_leaves_stdout_empty_and_names_the_next_step(
    roled: Roled, fake: FakeDaemon, words: tuple[str, ...]
) -> None:
    fake.refuse("credentials", UnknownProfile("there is no profile nope", "did you mean: hope?"))
    finished = roled(*words)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "roled: there is no profile nope\n       did you mean: hope?\n"


def test_forget_says_what_it_forgot(roled: Roled, fake: FakeDaemon) -> None:
    fake.answer("forget", {"forgotten": 1, "store_error": ""})
    assert roled("forget", "ops").stderr == "roled: forgot the credentials of ops\n"
    assert fake.asked[-1].fields["profile"] == "ops"
    assert roled("forget").stderr == "roled: forgot the credentials of 1 role\n"
    assert "profile" not in fake.asked[-1].fields
    fake.answer("forget", {"forgotten": 3, "store_error": ""})
    assert roled("forget").stderr == "roled: forgot the credentials of 3 roles\n"


def test_forget_says_when_the_keyring_kept_its_part(roled: Roled, fake: FakeDaemon) -> None:
    fake.answer("forget", {"forgotten": 1, "store_error": "Secret Service is locked"})
    finished = roled("forget", "ops")
    assert finished.returncode == 1
    assert "still there: Secret Service is locked\n       it ends by itself" in finished.stderr


def test_forget_says_when_there_was_nothing(roled: Roled, fake: FakeDaemon) -> None:
    fake.answer("forget", {"forgotten": 0, "store_error": ""})
    assert roled("forget", "ops").stderr == "roled: held no credentials of ops\n"
    finished = roled("forget")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == "roled: held no credentials\n"


def test_an_answer_without_its_json_is_a_daemon_of_another_version(roled: Roled, fake: FakeDaemon) -> None:
    fake.answers["credentials"] = reply([])
    finished = roled("env", "ops")
    assert finished.returncode == 4
    assert "try: roled restart" in finished.stderr


def test_an_answer_that_ends_in_the_middle_is_no_answer(roled: Roled, fake: FakeDaemon) -> None:
    fake.answers["credentials"] = b'json {"access_key_id":'
    finished = roled("env", "ops")
    assert (finished.returncode, finished.stdout) == (4, "")
    assert finished.stderr.startswith("roled: the daemon can't be asked: ")


def test_a_hint_that_the_daemon_left_out_leaves_one_line(roled: Roled, fake: FakeDaemon) -> None:
    fake.refuse("credentials", AssumeRefused("STS refuses ops"))
    assert roled("env", "ops").stderr == "roled: STS refuses ops\n"
