"""`roled profiles`: every profile of the config, and what is wrong with a broken one."""

import json
from typing import Any

import pytest
from scripted_daemon import FakeDaemon, Roled

ABSENT = dict.fromkeys(("account", "role_arn", "source_profile", "region", "error", "hint"))
ANSWER: list[dict[str, Any]] = [
    ABSENT
    | {
        "profile": "marketingadmin",
        "kind": "role",
        "account": "123456789012",
        "role_arn": "arn:aws:iam::123456789012:role/marketingadmin",
        "source_profile": "me",
        "region": "eu-central-1",
    },
    ABSENT | {"profile": "me", "kind": "static"},
    ABSENT | {"profile": "sso", "kind": "other", "error": "profile sso signs in with SSO, not supported yet"},
    ABSENT
    | {
        "profile": "round",
        "kind": "broken",
        "source_profile": "trip",
        "error": "source_profile goes in a circle: round -> trip -> round",
        "hint": "let one of them name keys",
    },
]


@pytest.fixture
def listed(fake: FakeDaemon) -> FakeDaemon:
    fake.answer("profiles", ANSWER)
    return fake


def test_each_profile_is_a_line_and_what_is_broken_is_told_below(roled: Roled, listed: FakeDaemon) -> None:
    drawn = roled("profiles", env={"COLUMNS": "100"}).stdout
    assert "".join(f"{line.rstrip()}\n" for line in drawn.splitlines()) == (
        "profile         kind    account       role            source  region\n"
        "marketingadmin  role    123456789012  marketingadmin  me      eu-central-1\n"
        "me              static  -             -               -       -\n"
        "sso             other   -             -               -       -\n"
        "round           broken  -             -               trip    -\n"
        "\n"
        "round: source_profile goes in a circle: round -> trip -> round\n"
        "  let one of them name keys\n"
    )


def test_a_narrow_terminal_folds_names_and_loses_none_of_their_letters(
    roled: Roled, listed: FakeDaemon
) -> None:
    drawn = roled("profiles", env={"COLUMNS": "60"}).stdout
    assert "eu-central-1" in drawn
    assert max(map(len, drawn.splitlines())) <= 60
    first, second = (line.split() for line in drawn.splitlines()[1:3])
    assert first[0] + second[0] == "marketingadmin"


def test_profiles_as_json_is_the_daemons_answer(roled: Roled, listed: FakeDaemon) -> None:
    assert json.loads(roled("profiles", "--json").stdout) == ANSWER


def test_no_profile_at_all_is_told_with_the_files_that_were_read(
    roled: Roled, fake: FakeDaemon, environ: dict[str, str]
) -> None:
    fake.answer("profiles", [])
    finished = roled("profiles")
    home = environ["HOME"]
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == (
        f"roled: there is no profile in {home}/.aws/config or {home}/.aws/credentials\n"
        "       make one: aws configure\n"
    )
