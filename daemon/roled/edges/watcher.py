"""watchdog: "the files changed", once per burst.

Folders are watched and not files, for an editor replaces a file by renaming another over it. What a path
leads to also changes where a link on its way is pointed elsewhere: the folder of each such link is watched
too. Of a path that does not exist, it is the nearest folder that does. Events about other names there are
passed over.

Events may be lost: a watch ends with its folder, and some file systems send none. So the files' stat is
compared whenever the watches were looked after, and `check` asks for that: without a single event, a change
is noticed at the next check. One thread of ours does it all, and sleeps until somebody wants something.
"""

import contextlib
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

QUIET = 0.1  # seconds without an event that end a burst
LONGEST_BURST = 1.0  # seconds
POLL = 2.0  # seconds between looks where there are no events to be had
RETRY = 15.0  # seconds until events are asked for again

TRIES = 5  # as often are watches put up while the folders are changing beneath
MAX_LINKS = 40  # as in the kernel

# Not opening and closing unchanged, or the daemon would wake itself by reading.
KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


class Watcher:
    """Calls `on_change`, in a thread of its own, after any of the watched files changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._wakes = threading.Condition()
        self._paths: tuple[str, ...] = ()
        self._states: dict[str, object] = {}
        self._wants_check = self._touched = self._stopping = False
        self._sentries = _Sentries(self._touch)
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wakes:
            self._stopping = True
            self._wakes.notify()
        self._thread.join()

    def watch(self, paths: Iterable[str]) -> None:
        """From now on a change of any of `paths` counts, and of no others: absolute, existing or not."""
        with self._wakes:
            self._paths = tuple(dict.fromkeys(paths))
            # Taken here and not in the thread: what changes until the watches are up is seen by comparison.
            known = self._states
            self._states = {path: known[path] if path in known else _state(path) for path in self._paths}
        self.check()

    def check(self) -> None:
        """Have the thread look whether watches died, or files changed without an event."""
        with self._wakes:
            self._wants_check = True
            self._wakes.notify()

    @property
    def trouble(self) -> str | None:
        """Why there are no events, so that the files are looked at every two seconds; None if there are."""
        return self._sentries.trouble

    def _touch(self) -> None:
        with self._wakes:
            self._touched = True
            self._wakes.notify()

    def _run(self) -> None:
        try:
            while self._wait():
                if self._settle() or self._look():
                    self._on_change()
        finally:
            self._sentries.leave()

    def _wait(self) -> bool:
        """Sleep until there is something to do; False at the end."""
        with self._wakes:
            timeout = POLL if self.trouble else None
            self._wakes.wait_for(lambda: self._wants_check or self._touched or self._stopping, timeout)
            self._wants_check = False
            return not self._stopping

    def _settle(self) -> bool:
        """Let a burst of events end, if there is one, and put up the watches for what it left."""
        with self._wakes:
            if not self._touched:
                return False
            ends_at = time.monotonic() + LONGEST_BURST
            while self._touched and not self._stopping and (left := ends_at - time.monotonic()) > 0:
                self._touched = False
                self._wakes.wait_for(lambda: self._touched or self._stopping, min(QUIET, left))
            self._touched = False
        self._look()
        return True

    def _look(self) -> bool:
        """Look after the watches and compare the files; whether they changed since last time."""
        with self._wakes:
            paths, before = self._paths, self._states
        self._sentries.post(paths)
        states = {path: _state(path) for path in paths}
        with self._wakes:
            if self._states is before:
                self._states = states
        return states != before


class _Sentries(FileSystemEventHandler):
    """The watches that are up, one a folder; `on_event` is called for events that concern the paths."""

    def __init__(self, on_event: Callable[[], None]) -> None:
        self.trouble: str | None = None
        self._on_event = on_event
        self._observer: BaseObserver | None = None
        self._watches: dict[
            str, tuple[object, ObservedWatch]
        ] = {}  # by folder, with what the folder was then
        self._names: frozenset[str] = frozenset()
        self._retry_at = 0.0

    def post(self, paths: Iterable[str]) -> None:
        """Watch what decides where `paths` lead, and renew the watches that ended with their folder."""
        if self.trouble and time.monotonic() < self._retry_at:
            return
        try:
            for _ in range(TRIES):  # what is made while the watches go up is seen by looking again
                if not self._place(paths):
                    break
        except OSError as error:
            self._fall_back(error)
        else:
            self.trouble = None

    def leave(self) -> None:
        """Take all watches down."""
        if self._observer:
            self._observer.stop()
            self._observer.join()
        self._observer = None
        self._watches.clear()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog, in its thread."""
        source, destination = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
        went = isinstance(event, DirDeletedEvent) and source in self._watches
        if went or source in self._names or destination in self._names:
            self._on_event()

    def _place(self, paths: Iterable[str]) -> bool:
        """Put up the watches that are missing now; whether there were any."""
        marks = {mark for path in paths for mark in _marks(path)}
        self._names = frozenset(os.path.join(*mark) for mark in marks)
        wanted = {folder: _identity(folder) for folder, _ in marks}
        for folder in [folder for folder in self._watches if not self._is_good(folder, wanted)]:
            self._withdraw(folder)
        missing = wanted.keys() - self._watches.keys()
        for folder in missing:
            with contextlib.suppress(
                FileNotFoundError, NotADirectoryError
            ):  # gone since; the next try sees it
                self._watches[folder] = (
                    wanted[folder],
                    self._observing().schedule(self, folder, event_filter=KINDS),
                )
        return bool(missing)

    def _is_good(self, folder: str, wanted: Mapping[str, object]) -> bool:
        known, watch = self._watches[folder]
        alive = any(emitter.watch == watch and emitter.is_alive() for emitter in self._observing().emitters)
        return alive and wanted.get(folder) == known

    def _withdraw(self, folder: str) -> None:
        _, watch = self._watches.pop(folder)
        self._observing().unschedule(watch)

    def _observing(self) -> BaseObserver:
        if self._observer is None:
            observer = Observer()
            observer.start()
            self._observer = observer
        return self._observer

    def _fall_back(self, error: OSError) -> None:
        self.leave()
        trouble = f"no events for changed files ({error.strerror or error}): looking every {POLL:.0f} s"
        if trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble, self._retry_at = trouble, time.monotonic() + RETRY


def _marks(path: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of all that decides where `path` leads: links on the way, and its end."""
    folder, parts, links = "/", deque(path.split("/")), 0
    while parts:
        name = parts.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        here = os.path.join(folder, name)
        target = _link(here)
        if target is not None and links < MAX_LINKS:
            yield folder, name
            links += 1
            folder = "/" if target.startswith("/") else folder
            parts.extendleft(reversed(target.split("/")))
        elif parts and os.path.isdir(here):
            folder = here
        else:
            yield folder, name
            return


def _link(path: str) -> str | None:
    """Where a symbolic link points; None for anything else."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def _identity(folder: str) -> object:
    """Which folder stands at a path: another one after it was removed and made again."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _state(path: str) -> object:
    """Unequal after a file, or where its links lead, changed."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return stat.S_IFMT(found.st_mode)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
