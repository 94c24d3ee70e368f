"""A fake daemon and real shells, for every test of a hook."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon
from terminal import Open, Terminal


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose path is short enough to hold a socket."""
    # What a shell that is just ending asks may still write there.
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def runtime(place: Path) -> Path:
    return place / "run"


@pytest.fixture
def home(place: Path) -> Path:
    (place / "home").mkdir()
    return place / "home"


@pytest.fixture
def daemon(runtime: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(runtime) as running:
        yield running


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def open_terminal(home: Path, runtime: Path, daemon: FakeDaemon) -> Iterator[Open]:
    """Open a terminal with a shell in it; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(shell: str, **options: object) -> Terminal:
            terminal = Terminal(shell, home, runtime, **options)  # type: ignore[arg-type]
            stack.callback(terminal.close)
            return terminal

        yield open_one


@pytest.fixture
def terminal(shell: str, open_terminal: Open) -> Terminal:
    return open_terminal(shell)
