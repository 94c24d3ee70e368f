"""The sealed file: nothing readable on disk, nothing lost, and anything odd reads as empty."""

import errno
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keyring.errors import PasswordDeleteError

from roled.edges import sealed_file
from roled.edges.sealed_file import FILE_NAME, MAGIC, SealedFile

SECRET = "made up secret ünïcödé"

WRITER = """
import sys
from roled.edges.sealed_file import SealedFile
store = SealedFile(sys.argv[1])
for number in range(40):
    store.set_password("roled", f"{sys.argv[2]}-{number}", "made up")
"""

# Dies by SIGKILL at the given step of a write: a function of os, and at which of its calls.
VICTIM = """
import os, signal, sys
from roled.edges import sealed_file
folder, step, countdown = sys.argv[1], sys.argv[2], int(sys.argv[3])
real = getattr(os, step)
def deadly(*arguments, **options):
    global countdown
    countdown -= 1
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
store = sealed_file.SealedFile(folder)
setattr(os, step, deadly)
store.set_password("roled", "admin", "new")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    yield tmp_path
    if key_line(tmp_path):
        drop_key(tmp_path)


@pytest.fixture
def store(folder: Path) -> SealedFile:
    """A store that holds the admin's secret."""
    store = SealedFile(str(folder))
    store.set_password("roled", "admin", SECRET)
    return store


def key_line(folder: Path) -> list[str]:
    """What the kernel tells of the folder's key: number, flags, uses, time left, permissions, ..."""
    lines = [line.split() for line in Path("/proc/keys").read_text().splitlines()]
    ours = (line for line in lines if f"roled:{folder}:" in line)
    return next(
        (line for line in ours if "i" not in line[1]), []
    )  # i: invalidated, and about to be swept away


def drop_key(folder: Path) -> None:
    sealed_file._drop_key(f"roled:{folder}")


def run(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments])


def test_nothing_readable_is_on_disk(store: SealedFile, folder: Path) -> None:
    assert os.listdir(folder) == [FILE_NAME]
    content = (folder / FILE_NAME).read_bytes()
    assert content.startswith(MAGIC)
    assert all(word.encode() not in content for word in (SECRET, "admin", "roled\\"))


def test_the_file_is_private_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        SealedFile(str(folder)).set_password("roled", "admin", SECRET)
    finally:
        os.umask(before)
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_two_writes_of_the_same_look_different(store: SealedFile, folder: Path) -> None:
    before = (folder / FILE_NAME).read_bytes()
    store.set_password("roled", "admin", SECRET)
    assert (folder / FILE_NAME).read_bytes() != before


def test_the_key_is_for_its_possessor_only_and_outlives_the_longest_session(
    store: SealedFile, folder: Path
) -> None:
    _, _, _, left, permissions, *_ = key_line(folder)
    assert permissions == "3f000000"
    assert left in ("12h", "13h")


def test_using_the_store_renews_its_key(store: SealedFile, folder: Path) -> None:
    number = sealed_file._search(f"roled:{folder}")
    sealed_file._keyctl(sealed_file.SET_TIMEOUT, number, 600)
    assert key_line(folder)[3] in ("9m", "10m")
    store.get_password("roled", "admin")
    assert key_line(folder)[3] in ("12h", "13h")


def test_only_opening_a_store_leaves_nothing_behind(folder: Path) -> None:
    assert SealedFile(str(folder)).get_password("roled", "admin") is None
    assert (os.listdir(folder), key_line(folder)) == ([], [])


def test_a_store_without_its_key_is_empty_and_starts_anew(store: SealedFile, folder: Path) -> None:
    drop_key(folder)
    assert store.get_password("roled", "admin") is None
    with pytest.raises(PasswordDeleteError):
        store.delete_password("roled", "admin")
    store.set_password("roled", "reader", SECRET)
    assert store.get_password("roled", "reader") == SECRET
    assert store.get_password("roled", "admin") is None


def test_deleting_the_last_item_destroys_the_key_too(store: SealedFile, folder: Path) -> None:
    copy = (folder / FILE_NAME).read_bytes()
    store.delete_password("roled", "admin")
    assert (os.listdir(folder), key_line(folder)) == ([], [])
    store.set_password("roled", "reader", SECRET)
    (folder / FILE_NAME).write_bytes(copy)
    assert store.get_password("roled", "admin") is None


def test_a_file_of_another_folder_is_noise(store: SealedFile, folder: Path) -> None:
    other = folder / "other"
    other.mkdir(mode=0o700)
    stranger = SealedFile(str(other))
    stranger.set_password("roled", "admin", "the other's")
    try:
        os.replace(folder / FILE_NAME, other / FILE_NAME)
        assert stranger.get_password("roled", "admin") is None
    finally:
        drop_key(other)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:8], id="cut in its header"),
        pytest.param(lambda content: content[: len(MAGIC) + 5], id="cut behind its header"),
        pytest.param(lambda content: content[:-1], id="cut at its end"),
        pytest.param(
            lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:], id="a bit flipped"
        ),
        pytest.param(lambda content: content.replace(b"1\n", b"2\n", 1), id="another version"),
        pytest.param(lambda content: content + bytes(sealed_file.MAX_SIZE), id="too big"),
    ],
)
def test_a_damaged_file_is_missing_and_makes_way(
    store: SealedFile, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = folder / FILE_NAME
    file.write_bytes(damage(file.read_bytes()))
    assert_missing_and_makes_way(store, file)


def test_a_file_that_others_may_read_is_missing_and_makes_way(store: SealedFile, folder: Path) -> None:
    (folder / FILE_NAME).chmod(0o644)
    assert_missing_and_makes_way(store, folder / FILE_NAME)


def test_a_link_in_the_files_place_is_missing_and_makes_way(store: SealedFile, folder: Path) -> None:
    (folder / FILE_NAME).rename(folder / "elsewhere")
    (folder / FILE_NAME).symlink_to("elsewhere")
    before = (folder / "elsewhere").read_bytes()
    assert_missing_and_makes_way(store, folder / FILE_NAME)
    assert (folder / "elsewhere").read_bytes() == before


def test_a_fifo_in_the_files_place_is_missing_and_makes_way(store: SealedFile, folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    os.mkfifo(folder / FILE_NAME, 0o600)
    assert_missing_and_makes_way(store, folder / FILE_NAME)


def test_a_socket_in_the_files_place_is_missing_and_makes_way(
    store: SealedFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FILE_NAME).unlink()
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(FILE_NAME)
    assert_missing_and_makes_way(store, folder / FILE_NAME)


def assert_missing_and_makes_way(store: SealedFile, file: Path) -> None:
    assert store.get_password("roled", "admin") is None
    store.set_password("roled", "reader", SECRET)
    assert store.get_password("roled", "reader") == SECRET
    assert file.lstat().st_mode == stat.S_IFREG | 0o600


def test_a_folder_in_the_files_place_is_an_error(folder: Path) -> None:
    (folder / FILE_NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        SealedFile(str(folder)).set_password("roled", "admin", SECRET)
    assert os.listdir(folder) == [FILE_NAME]


def test_a_full_disk_keeps_what_was_there(store: SealedFile, folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            store.set_password("roled", "admin", "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.get_password("roled", "admin") == SECRET
    assert os.listdir(folder) == [FILE_NAME]


def test_processes_that_write_at_once_lose_nothing(folder: Path) -> None:
    writers = [run(WRITER, str(folder), name) for name in ("a", "b", "c")]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    store = SealedFile(str(folder))
    names = [f"{name}-{number}" for name in ("a", "b", "c") for number in range(40)]
    assert [name for name in names if store.get_password("roled", name) is None] == []


@pytest.mark.parametrize(
    ("step", "call", "left"),
    [
        ("open", 3, SECRET),  # the folder, the old file, then the fresh one
        ("fsync", 1, SECRET),
        ("replace", 1, SECRET),
        ("fsync", 2, "new"),
    ],
)
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_or_the_new(
    store: SealedFile, folder: Path, step: str, call: int, left: str
) -> None:
    assert run(VICTIM, str(folder), step, str(call)).wait(10) == -signal.SIGKILL
    assert store.get_password("roled", "admin") == left
    store.set_password("roled", "reader", SECRET)
    assert store.get_password("roled", "reader") == SECRET
    assert os.listdir(folder) == [FILE_NAME]


def test_where_the_kernel_has_no_keyring_there_is_no_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = 5000  # no such system call: what a kernel without keyrings answers, too
    monkeypatch.setattr(sealed_file, "SYSTEM_CALLS", {platform.machine(): (beyond, beyond)})
    with pytest.raises(OSError, match="kernel keyring") as caught:
        SealedFile(str(folder))
    assert caught.value.errno == errno.ENOSYS


def test_on_an_unknown_machine_there_is_no_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "SYSTEM_CALLS", {})
    with pytest.raises(OSError, match="kernel keyring"):
        SealedFile(str(folder))
