"""Reading the AWS files: what botocore reads, and one line without a secret for what it cannot."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roled.core.errors import BrokenConfig
from roled.core.profiles import Reading
from roled.edges import awsconfig

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A config and a credentials file, neither of them there yet."""
    return tmp_path / "config", tmp_path / "credentials"


def read(files: tuple[Path, Path]) -> Reading:
    config, credentials = files
    return awsconfig.read((str(config), str(credentials)))


def as_botocore(files: tuple[Path, Path]) -> dict[str, object]:
    session = Session()
    session.set_config_variable("config_file", str(files[0]))
    session.set_config_variable("credentials_file", str(files[1]))
    whole: dict[str, object] = session.full_config
    return whole


def test_no_files_are_an_empty_reading(files: tuple[Path, Path]) -> None:
    assert dict(read(files).profiles) == {}


def test_dev_null_says_no_file(files: tuple[Path, Path]) -> None:
    files[1].write_text("[a]\naws_access_key_id = x\n")
    reading = awsconfig.read(("/dev/null", str(files[1])))
    assert list(reading.profiles) == ["a"]


CONFIG = """\
[default]
region = eu-west-1
s3 =
    addressing_style = path

[profile "my team"]
role_arn: arn:aws:iam::123456789012:role/Team

[profile b]
region = us-west-2
aws_session_token = of the config file

[marketing]
region = nobody reads this

[services mine]
sts =
  endpoint_url = http://127.0.0.1:1

[sso-session corp]
sso_region = eu-west-1
"""
CREDENTIALS = """\
[b]
aws_access_key_id = AKIAB
region = eu-north-1
[profile c]
aws_access_key_id = AKIAC
"""


def test_both_files_are_merged_as_botocore_does(files: tuple[Path, Path]) -> None:
    files[0].write_text(CONFIG)
    files[1].write_text(CREDENTIALS)
    reading, whole = read(files), as_botocore(files)
    assert reading.profiles == whole["profiles"]
    assert list(reading.profiles) == ["default", "my team", "b", "profile c"]
    assert reading.profiles["b"] == {
        "region": "eu-north-1",
        "aws_session_token": "of the config file",
        "aws_access_key_id": "AKIAB",
    }
    assert reading.services == whole["services"] == {"mine": {"sts": {"endpoint_url": "http://127.0.0.1:1"}}}
    assert reading.sso_sessions == whole["sso_sessions"]
    assert reading.strays == {"marketing"}


NAMES = st.sampled_from(["a", "b", "default", "profile a", "profile default", "sso-session a", "x y"])
KEYS = st.sampled_from(["region", "role_arn", "Region", "aws_access_key_id", "s3"])
VALUES = st.sampled_from(["v", "", "a = b", "x # y", "\n  inner = 1\n  other = 2"])
SECTIONS = st.dictionaries(NAMES, st.dictionaries(KEYS, VALUES, max_size=4), max_size=5)


@given(SECTIONS, SECTIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_pair_of_files_reads_as_in_botocore(
    files: tuple[Path, Path], config: dict[str, dict[str, str]], credentials: dict[str, dict[str, str]]
) -> None:
    for path, sections in zip(files, (config, credentials), strict=True):
        lines = [
            f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in s.items()) for name, s in sections.items()
        ]
        path.write_text("".join(lines))
    try:
        whole = as_botocore(files)
    except Exception:  # noqa: BLE001  whatever botocore fails with, we refuse too
        with pytest.raises(BrokenConfig):
            read(files)
    else:
        assert read(files).profiles == whole["profiles"]


BROKEN = {
    "no equals sign": ("[default]\nregion = x\n{secret}\n", 3, "neither a [section] nor a setting with ="),
    "cut in a header": ("[default]\nregion = x\n[profile {secret}", 3, "neither a [section]"),
    "cut in a key": ("[default]\naws_secret_acc", 2, "neither a [section]"),
    "before any section": (
        "\naws_secret_access_key = {secret}\n[default]\n",
        2,
        "before the first [section]",
    ),
    "byte order mark": ("\ufeff[default]\nx = {secret}\n", 1, "byte order mark"),
    "section twice": (
        "[profile a]\n[default]\n[profile a]\nx = {secret}\n",
        3,
        "[profile a] was there before",
    ),
    "setting twice": ("[a]\nx = 1\nX = {secret}\n", 3, "x is already set in [a]"),
    "nested without equals": ("[a]\nb = 1\ns3 =\n  c = 1\n\n  {secret}\n", 6, "indented block has no ="),
    "nested after a long value": ("[a]\nb = 1\n  2\ns3 =\n  {secret}\n", 5, "indented block has no ="),
    "indented first line": ("[a]\n  {secret}\n", 2, "neither a [section]"),
}


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_with_its_line_and_never_quoted(
    files: tuple[Path, Path], name: str, which: int
) -> None:
    text, line, what = BROKEN[name]
    files[which].write_text(text.replace("{secret}", SECRET))
    with pytest.raises(BrokenConfig) as caught:
        read(files)
    message = str(caught.value)
    assert message.startswith(f"{files[which]}, line {line}: ")
    assert what in message
    assert "\n" not in message
    assert SECRET not in message + caught.value.hint
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_bytes_that_are_no_text_are_named_with_their_line(files: tuple[Path, Path]) -> None:
    files[0].write_bytes(b"[default]\nregion = x\nname = \xff\xfe\n")
    with pytest.raises(BrokenConfig, match=r"config, line 3: not UTF-8 text"):
        read(files)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.mkdir()


def an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_huge_file(path: Path) -> None:
    path.touch()
    os.truncate(path, awsconfig.MAX_BYTES + 1)


def a_circle_of_links(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [a_fifo, a_folder, an_endless_device, a_huge_file, a_circle_of_links])
def test_what_is_no_reasonable_file_is_refused_at_once(
    files: tuple[Path, Path], make: Callable[[Path], None]
) -> None:
    make(files[0])
    with pytest.raises(BrokenConfig, match="config ") as caught:
        read(files)
    assert caught.value.hint == f"try: ls -l {files[0]}"


def test_an_unreadable_file_is_an_error_and_not_an_empty_file(files: tuple[Path, Path]) -> None:
    files[0].touch(mode=0)
    user = os.geteuid()
    os.seteuid(user or 65534)  # root may read everything, and tests often run as root in a container
    try:
        with pytest.raises(BrokenConfig, match="cannot be opened: permission denied"):
            read(files)
    finally:
        os.seteuid(user)


def test_the_reading_shows_no_secret(files: tuple[Path, Path]) -> None:
    files[1].write_text(f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n")
    assert SECRET not in repr(read(files))


def test_the_signature_changes_with_the_file_and_with_what_its_link_leads_to(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    seen = []

    def look() -> None:
        seen.append(awsconfig.signature((str(files[0]), str(files[1]))))

    look()
    files[0].write_text("[default]\n")
    look()
    target = tmp_path / "target"
    target.write_text("[default]\n")
    files[0].unlink()
    files[0].symlink_to(target)
    look()
    target.write_text("[default]\nregion = x\n")
    look()
    files[1].write_text("[default]\n")
    look()
    files[1].chmod(0o400)  # it may have been unreadable
    look()
    assert len(set(seen)) == len(seen)
    look()
    assert seen[-1] == seen[-2]
