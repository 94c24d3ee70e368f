"""Stamps: made, removed, and never in the way when they can't be."""

import os
import stat
from pathlib import Path

from roled.edges.stamps import Stamps


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_stamp_is_an_empty_file_of_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Stamps(str(tmp_path)).put("a")
    finally:
        os.umask(before)
    found = (tmp_path / "a").lstat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (0, 0o600)


def test_a_stamp_may_be_put_and_removed_twice(tmp_path: Path) -> None:
    stamps = Stamps(str(tmp_path))
    for put, left in ((stamps.put, {"a"}), (stamps.remove, set())):
        put("a")
        put("a")
        assert names(tmp_path) == left


def test_a_new_daemon_clears_what_an_earlier_one_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    Stamps(str(tmp_path)).clear()
    assert names(tmp_path) == set()


def test_a_link_planted_where_a_stamp_goes_is_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "stamps", tmp_path / "target"
    folder.mkdir()
    (folder / "a").symlink_to(target)
    Stamps(str(folder)).put("a")
    assert not target.exists()
    target.touch()
    Stamps(str(folder)).clear()
    assert target.exists()


def test_a_folder_that_is_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    stamps = Stamps(str(tmp_path / "gone"))
    stamps.put("a")
    stamps.remove("a")
    stamps.clear()
    assert names(tmp_path) == set()
