"""Where everything is, and which folders are not to be trusted."""

import os
import stat
import sys
from pathlib import Path

import pytest

from roled.core.errors import RoledError
from roled.edges import paths

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


@pytest.fixture(autouse=True)
def no_bases_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither /run/user/UID nor macOS's temporary folder: what is there differs between machines."""
    real = paths._bases
    monkeypatch.setattr(paths, "_bases", lambda environ: real(environ)[:1])


def fallback(home: Path) -> str:
    return str(home / ".local/state/roled/run")


def test_an_override_counts_above_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"ROLED_RUNTIME_DIR": "/somewhere", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/home/ann"}
    assert paths.runtime_dir(environ) == "/somewhere"
    monkeypatch.chdir(tmp_path)
    assert paths.runtime_dir({"ROLED_RUNTIME_DIR": "here"}) == str(tmp_path / "here")


def test_the_sessions_runtime_folder_is_the_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(tmp_path / "roled")


def test_without_any_there_is_a_place_at_home(tmp_path: Path) -> None:
    assert paths.runtime_dir({"HOME": str(tmp_path)}) == fallback(tmp_path)
    # As in `env -i`: the password database knows the home folder.
    assert paths.runtime_dir({}) == fallback(Path("~").expanduser())


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_base_that_others_can_write_is_passed_over(tmp_path: Path, mode: int) -> None:
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(mode)
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": str(base), "HOME": str(tmp_path)}) == fallback(tmp_path)


@pytest.mark.parametrize("kind", ["link", "file", "missing", "relative"])
def test_a_base_that_is_no_real_folder_is_passed_over(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch(mode=0o600)
    base = "real" if kind == "relative" else str(tmp_path / kind)
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": base, "HOME": str(tmp_path)}) == fallback(tmp_path)


@as_root
def test_a_base_of_somebody_else_is_passed_over(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir(mode=0o700)
    os.chown(base, NOBODY, NOBODY)  # as after `sudo -E` or `su`
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": str(base), "HOME": str(tmp_path)}) == fallback(tmp_path)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_folders_are_made_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "new" / "run"
    before = os.umask(umask)
    try:
        paths.prepare(str(folder))
    finally:
        os.umask(before)
    for made in (folder, folder / "stamps"):
        assert stat.S_IMODE(made.lstat().st_mode) == 0o700
    paths.prepare(str(folder))


@pytest.mark.parametrize("name", ["run", "run/stamps"])
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o701])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / "run" / "stamps").mkdir(parents=True)
    for folder in ("run", "run/stamps"):
        (tmp_path / folder).chmod(mode if folder == name else 0o700)
    with pytest.raises(RoledError, match="is not a private folder of this user") as refused:
        paths.prepare(str(tmp_path / "run"))
    assert str(tmp_path / name) in str(refused.value)
    assert "mode 0700" in refused.value.hint


@pytest.mark.parametrize("name", ["run", "run/stamps"])
def test_a_link_in_the_folders_place_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    if name != "run":
        (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / name).symlink_to(tmp_path / "target")
    with pytest.raises(RoledError, match="is not a private folder of this user"):
        paths.prepare(str(tmp_path / "run"))


@as_root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(RoledError, match="is not a private folder of this user"):
        paths.prepare(str(folder))


def test_a_path_is_as_long_as_a_socket_allows_and_no_longer(tmp_path: Path) -> None:
    longest = 103 if sys.platform == "darwin" else 107
    room = longest - len(os.fsencode(tmp_path)) - len("//socket")
    if room < 1:
        pytest.skip("the temporary folder's own path leaves no room")
    paths.prepare(str(tmp_path / ("x" * room)))
    for too_long in ("x" * (room + 1), "ü" * room, "long/" * 300):
        with pytest.raises(RoledError, match="is too long for this system"):
            paths.prepare(str(tmp_path / too_long))
    assert [path.name for path in tmp_path.iterdir()] == ["x" * room]


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({}, "/home/ann/.aws/config"),
        ({"AWS_CONFIG_FILE": ""}, "/home/ann/.aws/config"),
        ({"AWS_CONFIG_FILE": "/etc/aws"}, "/etc/aws"),
        ({"AWS_CONFIG_FILE": "~/aws"}, "/home/ann/aws"),
        ({"AWS_CONFIG_FILE": "~"}, "/home/ann"),
        ({"AWS_CONFIG_FILE": "../aws"}, "/home/aws"),
        ({"AWS_CONFIG_FILE": "./a/../b//c"}, "/home/ann/b/c"),
        ({"AWS_CONFIG_FILE": "aws", "PWD": ""}, "/aws"),
        ({"AWS_CONFIG_FILE": "aws", "PWD": "odd"}, "/odd/aws"),
        ({"AWS_CONFIG_FILE": "~nobody-of-this-name/aws"}, "/home/ann/~nobody-of-this-name/aws"),
    ],
)
def test_the_aws_files_are_found_in_the_asking_shells_terms(
    variables: dict[str, str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/daemon")
    shell = {"HOME": "/home/ann", "PWD": "/home/ann", **variables}
    assert paths.aws_files(shell) == (config, "/home/ann/.aws/credentials")


def test_the_credentials_file_has_its_own_variable() -> None:
    shell = {"HOME": "/home/ann", "AWS_SHARED_CREDENTIALS_FILE": "~/keys"}
    assert paths.aws_files(shell) == ("/home/ann/.aws/config", "/home/ann/keys")
