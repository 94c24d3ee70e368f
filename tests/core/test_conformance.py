"""Profiles resolved as the SDKs were observed to resolve them.

The rows are facts about other programs, kept in a folder beside the checkout and not in it. Without it these
tests are skipped, and the project's own tables in test_profiles.py stand alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from roled.core import profiles
from roled.core.errors import BadProfile, BrokenConfig, RoledError
from roled.core.profiles import Chain, Reading, StaticOnly
from roled.edges import awsconfig, paths

FOLDER = Path(__file__).parents[3] / "shared" / "conformance"
if not FOLDER.is_dir():
    pytest.skip(f"the conformance rows are not here: no folder {FOLDER}", allow_module_level=True)

OTHER_SOURCES = (
    "credential_process",
    "credential_source",
    "login_session",
    "mfa_serial",
    "sso_account_id",
    "web_identity_token_file",
)


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def observed_rows() -> list[Any]:
    """Config, profile, and what botocore did; accounts are filled up to the twelve digits of real ones."""
    configs = {
        case["id"]: case
        for name in ("rust-assume-role", "kotlin-profile-chain", "botocore-assume-role")
        for case in load(f"{name}.json")["cases"]
    }
    rows = []
    for case in load("observed-sdk.json")["cases"]:
        row = {**configs[case["id"]], "observed": case["observed"]["boto3"]}
        text = re.sub(r"(?<=:iam::)\d+", lambda digits: digits[0].zfill(12), json.dumps(row))
        rows.append(pytest.param(json.loads(text), id=case["id"]))
    return rows


def read(folder: Path, config: str | None, credentials: str | None = None) -> Reading:
    return awsconfig.read(write(folder, config, credentials))


def write(folder: Path, config: str | None, credentials: str | None) -> tuple[str, str]:
    files = folder / "config", folder / "credentials"
    for path, text in zip(files, (config, credentials), strict=True):
        if text is not None:
            path.write_bytes(text.encode())
    return str(files[0]), str(files[1])


def resolve(reading: Reading, name: str, shell: Mapping[str, str] | None = None) -> Chain | StaticOnly:
    return profiles.resolve(reading, name, shell or {}, "default-name", ("config", "credentials"), None)


def cannot_be_had(reading: Reading, name: str) -> bool:
    """Whether roled refuses the profile, or leaves it to the SDK although it holds nothing for it."""
    try:
        return resolve(reading, name) == StaticOnly(name, has_keys=False)
    except RoledError:
        return True


def calls(chain: Chain) -> list[tuple[str, str, dict[str, str]]]:
    """(role, who signs, what is sent along) of each AssumeRole."""
    made, signer = [], chain.source.access_key_id
    for hop in chain.hops:
        sent = {"RoleSessionName": hop.session_name, "ExternalId": hop.external_id}
        made.append((hop.role_arn, signer, {k: v for k, v in sent.items() if v and v != "default-name"}))
        signer = f"ASIA{hop.role_arn.rsplit('/', 1)[1]}"
    return made


@pytest.mark.parametrize("row", observed_rows())
def test_a_profile_makes_the_calls_that_botocore_makes(row: Any, tmp_path: Path) -> None:
    config, observed = row["files"]["config"], row["observed"]
    reading = read(tmp_path, config)
    keys = re.findall(r"(?m)^aws_access_key_id\s*=\s*(\S+)", config)
    made = [(call["role_arn"], call["signed_by"], call["params"]) for call in observed["sts_calls"]]
    if observed["ok"] and made and made[0][1] in keys:
        chain = resolve(reading, row["profile"])
        assert isinstance(chain, Chain)
        assert calls(chain) == made
    elif observed["ok"] and not made:
        assert resolve(reading, row["profile"]) == StaticOnly(row["profile"], has_keys=True)
    elif any(key in config for key in OTHER_SOURCES):
        with pytest.raises(BadProfile, match="|".join(OTHER_SOURCES)):
            resolve(reading, row["profile"])
    else:
        assert not observed["ok"]
        assert cannot_be_had(reading, row["profile"])


@pytest.mark.parametrize("row", load("kotlin-endpoint-url.json")["cases"], ids=lambda row: row["id"])
def test_the_endpoint_is_looked_up_as_in_the_sdks(row: Any, tmp_path: Path) -> None:
    text = json.dumps(row).replace(row["service_id"], "sts").replace(row["service_id"].upper(), "STS")
    row = json.loads(text)
    reading = read(tmp_path, row["files"]["config"])
    role = {
        "role_arn": "arn:aws:iam::123456789012:role/A",
        "source_profile": "default",
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
    }
    merged = {"default": {**reading.profiles["default"], **role}}
    reading = replace(reading, profiles=merged, config=None)
    if "error_contains" in row["expect"]:
        with pytest.raises(BadProfile, match="services section nonexistent, which"):
            resolve(reading, "default", row["env"])
    else:
        chain = resolve(reading, "default", row["env"])
        assert isinstance(chain, Chain)
        assert chain.sts.endpoint_url == row["expect"]["endpoint_url"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row["name"])
        for row in load("sep/file-location-tests.json")["tests"]
        if row["platform"] == "linux"
    ],
)
def test_files_and_profile_are_found_as_in_the_sdks(row: Any) -> None:
    assert paths.aws_files(row["environment"]) == (row["configLocation"], row["credentialsLocation"])
    assert (profiles.effective_profile(row["environment"]) or "default") == row.get("profile", "default")


# Where the AWS CLI does not follow the SDKs' common specification, roled goes with the CLI.
COMMENT = "text after a value belongs to the value, also behind a # or ;"
TWICE = "a section or setting that is there twice makes the whole file unreadable"
NAMES = "a name may hold any character"
PREFIX = "names in the credentials file are taken as they stand"
BLANKS = "blanks around a section's name belong to it"
UNLIKE_THE_CLI = {
    "Profile names support alphanumeric characters and - / . % @ _ : +": NAMES,
    "Invalid profile names are ignored.": NAMES,
    "Invalid property names are ignored.": NAMES,
    "Property definitions must contain an equals sign.": "a colon will do",
    "Sub-property definitions cannot have an empty name.": "they can",
    "Pound sign comments are ignored.": COMMENT,
    "Semicolon sign comments are ignored.": COMMENT,
    "All comment types can be used together.": COMMENT,
    "Comments can be empty.": COMMENT,
    "Duplicate profiles in the same file merge properties.": TWICE,
    "Duplicate properties in a profile use the last one defined.": TWICE,
    "Duplicate properties in duplicate profiles use the last one defined.": TWICE,
    "Duplicate properties in duplicate profiles use the last one defined (case insensitive).": TWICE,
    "Default profiles with mixed prefixes in the config file ignore the one without prefix when merging.": TWICE,  # noqa: E501
    "Default profiles with mixed prefixes merge with credentials": TWICE,
    "Default profile with profile prefix overrides default profile without prefix when profile prefix is first.": (  # noqa: E501
        "of [default] and [profile default], the later one counts"
    ),
    "Credentials profiles with prefix are ignored.": PREFIX,
    "profile name with extra whitespace": BLANKS,
    "profile name with extra whitespace in credentials": BLANKS,
}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["name"]) for row in load("sep/profile-parser-tests.json")["tests"]]
)
def test_files_are_parsed_as_in_the_sdks_or_else_as_in_the_aws_cli(row: Any, tmp_path: Path) -> None:
    files = write(tmp_path, row["input"].get("configFile"), row["input"].get("credentialsFile"))
    if row["name"] in UNLIKE_THE_CLI:
        assert sections(files) == as_botocore(files)
        assert sections(files) != expected(row)
    else:
        assert sections(files) == expected(row)


def expected(row: Any) -> object:
    output = row["output"]
    if "errorContaining" in output:
        return "error"
    return {"sso_sessions": {}, **output["config"]}


def sections(files: tuple[str, str]) -> object:
    try:
        reading = awsconfig.read(files)
    except BrokenConfig:
        return "error"
    return {"profiles": flat(reading.profiles), "sso_sessions": flat(reading.sso_sessions)}


def as_botocore(files: tuple[str, str]) -> object:
    session = Session()
    session.set_config_variable("config_file", files[0])
    session.set_config_variable("credentials_file", files[1])
    try:
        config = session.full_config
    except Exception:  # noqa: BLE001  whatever the CLI fails with
        return "error"
    return {"profiles": flat(config["profiles"]), "sso_sessions": flat(config.get("sso_sessions", {}))}


def flat(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Nested blocks as the specification writes them: in one string."""
    return {
        name: {key: one_string(value) for key, value in section.items()} for name, section in sections.items()
    }


def one_string(value: str | Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    return "".join(f"\n{key} = {inner}".rstrip(" ") for key, inner in value.items())
