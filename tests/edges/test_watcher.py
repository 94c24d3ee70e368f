"""The watcher, with real files changed the way editors, dotfile tools and people change them."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent

from roled.edges import watcher
from roled.edges.watcher import Watcher

DEADLINE = 5.0  # seconds


class Watched(Watcher):
    """A watcher that counts its calls, and that tells when it has done all that it was asked for."""

    def __init__(self) -> None:
        super().__init__(self._called)
        self.calls = 0
        self._idle = threading.Event()

    def on(self, *paths: Path) -> None:
        """Watch these, and wait until the watches are up: from here on only events can tell of a change."""
        self.watch(map(str, paths))
        self.settle()

    def settle(self) -> None:
        with self._wakes:
            self._idle.clear()
            self.check()
        assert self._idle.wait(DEADLINE)

    def notices(self, change: Callable[[], object]) -> bool:
        """Whether `change` brings a call."""
        before = self.calls
        change()
        with self._wakes:
            return self._wakes.wait_for(lambda: self.calls > before, DEADLINE)

    def sleeps_through(self, change: Callable[[], object], folder: Path) -> bool:
        """Whether the events of `change`, all of them delivered, wake nobody."""
        before, delivered, last = self.calls, threading.Event(), folder / "the last event"
        dispatch = self._sentries.dispatch

        def watching_for_the_last(event: FileSystemEvent) -> None:
            dispatch(event)
            if event.src_path == str(last):
                delivered.set()

        self._sentries.dispatch = watching_for_the_last  # type: ignore[method-assign]
        change()
        last.touch()
        assert delivered.wait(DEADLINE)
        woken = self._touched
        self.settle()
        return not woken and self.calls == before

    def _called(self) -> None:
        with self._wakes:
            self.calls += 1
            self._wakes.notify_all()

    def _wait(self) -> bool:
        with self._wakes:
            if not (self._wants_check or self._touched):
                self._idle.set()
            return super()._wait()


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched() as one:
        yield one


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """~/.aws/config"""
    path = tmp_path / "home" / ".aws" / "config"
    path.parent.mkdir(parents=True)
    path.write_text("[default]\n")
    return path


def in_place(path: Path) -> None:
    with path.open("a") as file:
        file.write("region = eu-west-1\n")


def by_rename(path: Path) -> None:
    """As `aws configure` of some versions, sed -i and most libraries."""
    new = path.with_name(".config.new")
    new.write_text("[profile renamed]\n")
    new.rename(path)


def by_rename_from_elsewhere(path: Path) -> None:
    new = path.parents[2] / "config"
    new.write_text("[profile moved in]\n")
    new.rename(path)


def as_vim(path: Path) -> None:
    """Vim with backupcopy=no: the old file becomes the backup, then a new one is written."""
    backup = path.with_name("config~")
    path.rename(backup)
    path.write_text("[profile vim]\n")
    backup.unlink()


def as_emacs(path: Path) -> None:
    """Emacs keeps a lock link beside the file, and writes into the file itself."""
    lock = path.with_name(".#config")
    lock.symlink_to("user@host.1234:1700000000")
    path.write_text("[profile emacs]\n")
    lock.unlink()


def deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [in_place, by_rename, by_rename_from_elsewhere, as_vim, as_emacs, deleted])
def test_every_way_to_change_a_file_is_noticed(
    watched: Watched, config: Path, change: Callable[[Path], None]
) -> None:
    watched.on(config)
    assert watched.notices(lambda: change(config))


def test_a_file_that_appears_is_noticed(watched: Watched, config: Path) -> None:
    credentials = config.with_name("credentials")
    watched.on(config, credentials)
    assert watched.notices(lambda: credentials.write_text("[default]\n"))


def test_a_burst_is_one_call(watched: Watched, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "QUIET", 0.5)
    watched.on(config)
    assert watched.notices(lambda: [change(config) for change in (in_place, by_rename, as_vim, in_place)])
    watched.settle()
    assert watched.calls == 1


def test_an_endless_burst_is_told_before_its_end(
    watched: Watched, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "QUIET", 60.0)
    monkeypatch.setattr(watcher, "LONGEST_BURST", 0.2)
    watched.on(config)
    assert watched.notices(lambda: in_place(config))


def test_other_files_of_the_folder_and_reading_are_no_change(watched: Watched, config: Path) -> None:
    def noise() -> None:
        other = config.with_name("other")
        other.write_text("nothing of ours")
        config.with_name("cli").mkdir()
        other.rename(config.with_name("another"))
        config.read_text()
        os.listdir(config.parent)

    watched.on(config)
    assert watched.sleeps_through(noise, config.parent)


def test_what_is_no_longer_watched_is_no_change(watched: Watched, config: Path) -> None:
    other = config.with_name("other")
    watched.on(config, other)
    watched.on(other)
    assert watched.sleeps_through(lambda: in_place(config), config.parent)
    assert watched.notices(lambda: in_place(other))


def test_a_change_between_the_call_and_the_watch_is_not_lost(watched: Watched, config: Path) -> None:
    posted = watched._sentries.post

    def late(paths: tuple[str, ...]) -> None:
        in_place(config)
        posted(paths)

    watched._sentries.post = late  # type: ignore[method-assign,assignment]
    assert watched.notices(lambda: watched.watch([str(config)]))


@pytest.fixture
def dotfiles(config: Path, tmp_path: Path) -> Path:
    """The config moved to a dotfiles folder, with a link left behind."""
    target = tmp_path / "dotfiles" / "aws-config"
    target.parent.mkdir()
    config.rename(target)
    config.symlink_to(target)
    return target


@pytest.mark.parametrize("change", [in_place, by_rename, as_vim, deleted])
def test_a_change_of_a_links_target_is_noticed(
    watched: Watched, config: Path, dotfiles: Path, change: Callable[[Path], None]
) -> None:
    watched.on(config)
    assert watched.notices(lambda: change(dotfiles))


def point(link: Path, target: str) -> None:
    """As `ln -sfn`: the new link is renamed over the old one."""
    new = link.with_name("new link")
    new.symlink_to(target)
    new.rename(link)


def test_a_link_pointed_elsewhere_is_noticed_and_followed(
    watched: Watched, config: Path, dotfiles: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work" / "config"
    work.parent.mkdir()
    work.write_text("[profile work]\n")
    watched.on(config)
    assert watched.notices(lambda: point(config, str(work)))
    watched.settle()
    assert watched.notices(lambda: in_place(work))
    watched.settle()
    assert watched.sleeps_through(lambda: in_place(dotfiles), work.parent)


def test_relative_links_and_chains_of_links_are_followed(
    watched: Watched, config: Path, dotfiles: Path
) -> None:
    middle = dotfiles.parent / "links" / "middle"
    middle.parent.mkdir()
    middle.symlink_to("../aws-config")
    point(config, "../../dotfiles/links/middle")
    watched.on(config)
    assert watched.notices(lambda: in_place(dotfiles))
    watched.settle()
    other = dotfiles.with_name("other")
    other.write_text("[profile other]\n")
    assert watched.notices(lambda: point(middle, "../other"))
    watched.settle()
    assert watched.notices(lambda: in_place(other))


def test_a_linked_folder_is_followed_and_so_is_a_new_one(
    watched: Watched, config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stow" / "aws"
    folder.parent.mkdir()
    config.parent.rename(folder)
    config.parent.symlink_to(folder)
    watched.on(config)
    assert watched.notices(lambda: by_rename(folder / "config"))
    watched.settle()
    shutil.copytree(folder, tmp_path / "stow" / "aws2")
    assert watched.notices(lambda: point(config.parent, "../stow/aws2"))
    watched.settle()
    assert watched.notices(lambda: in_place(tmp_path / "stow" / "aws2" / "config"))


def test_links_in_a_circle_are_survived(watched: Watched, config: Path) -> None:
    config.unlink()
    config.symlink_to("config")
    watched.on(config)
    assert watched.notices(lambda: by_rename(config))


def test_a_dangling_link_is_noticed_when_its_target_appears(
    watched: Watched, config: Path, dotfiles: Path
) -> None:
    shutil.rmtree(dotfiles.parent)
    watched.on(config)

    def appear() -> None:
        dotfiles.parent.mkdir()
        dotfiles.write_text("[default]\n")

    assert watched.notices(appear)


def test_a_folder_that_is_absent_at_the_start_is_noticed_when_it_appears(
    watched: Watched, config: Path
) -> None:
    shutil.rmtree(config.parents[1])
    watched.on(config)
    assert watched.notices(lambda: config.parent.mkdir(parents=True))
    watched.settle()
    assert watched.notices(lambda: config.write_text("[default]\n"))
    watched.settle()
    assert watched.notices(lambda: in_place(config))


def test_a_folder_removed_and_made_again_is_watched_again(watched: Watched, config: Path) -> None:
    watched.on(config)
    assert watched.notices(lambda: shutil.rmtree(config.parent))
    watched.settle()

    def again() -> None:
        config.parent.mkdir()
        config.write_text("[profile again]\n")

    assert watched.notices(again)
    watched.settle()
    assert watched.notices(lambda: in_place(config))


def test_a_folder_removed_before_it_held_the_file_is_watched_again(watched: Watched, config: Path) -> None:
    config.unlink()
    watched.on(config)
    assert watched.notices(config.parent.rmdir)
    watched.settle()
    assert watched.notices(config.parent.mkdir)
    watched.settle()
    assert watched.notices(lambda: config.write_text("[default]\n"))


def test_a_folder_removed_and_made_again_at_once_is_watched_again(watched: Watched, config: Path) -> None:
    """The new folder often gets the number of the old one: only the event tells that the watch is gone."""
    watched.on(config)

    def at_once() -> None:
        shutil.rmtree(config.parent)
        config.parent.mkdir()
        config.write_text("[profile again]\n")

    assert watched.notices(at_once)
    watched.settle()
    assert watched.notices(lambda: in_place(config))


def test_a_folder_exchanged_without_an_event_is_noticed_by_a_check(
    watched: Watched, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(config.parent, other)
    watched.on(config)

    def exchange() -> None:
        config.parent.rename(tmp_path / "old")
        other.rename(config.parent)
        watched.check()

    assert watched.notices(exchange)
    watched.settle()
    assert watched.notices(lambda: in_place(config))


def test_a_watch_that_died_silently_is_put_up_by_a_check(watched: Watched, config: Path) -> None:
    watched.on(config)
    observer = watched._sentries._observer
    assert observer
    for emitter in observer.emitters:
        emitter.stop()
        emitter.join()
    in_place(config)
    assert watched.notices(watched.check)
    watched.settle()
    assert watched.notices(lambda: in_place(config))


def test_a_file_made_readable_is_noticed_by_a_check(watched: Watched, config: Path) -> None:
    config.chmod(0)
    watched.on(config)
    config.chmod(0o600)
    assert watched.notices(watched.check)


def test_a_check_of_what_did_not_change_is_silent(watched: Watched, config: Path) -> None:
    watched.on(config, config.with_name("credentials"))
    watched.settle()
    assert watched.calls == 0


def test_without_events_the_files_are_looked_at_and_that_is_said(
    watched: Watched, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted() -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(watcher, "POLL", 0.02)
    with monkeypatch.context() as patch:
        patch.setattr(watcher, "Observer", exhausted)
        watched.on(config)
        assert watched.trouble
        assert "inotify instance limit reached" in watched.trouble
        assert watched.notices(lambda: in_place(config))
    monkeypatch.setattr(watched._sentries, "_retry_at", 0.0)
    watched.settle()
    assert watched.trouble is None
    assert watched.notices(lambda: in_place(config))


def test_nothing_runs_on_after_the_end(config: Path) -> None:
    before = threading.active_count()
    with Watched() as one:
        one.on(config)
        assert threading.active_count() > before
    assert threading.active_count() == before
