"""What outlives the daemon, in a real gnome-keyring and in the sealed file; what a sick keyring costs."""

import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring_session import KeyringSession, keyring_session
from machine import Aws, Machine, eventually
from terminal import Terminal

from roled.edges.sealed_file import SealedFile
from roled.store import BUDGET

LOGIN = "Secret Service (login collection)"
SESSION = "Secret Service (session collection)"
STS = 3.0  # seconds for a call to the stand-in, on a busy machine
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.fixture
def session() -> Iterator[KeyringSession]:
    with keyring_session() as session:
        yield session


@pytest.fixture
def desktop(session: KeyringSession, tmp_path: Path, aws: Aws) -> Iterator[Machine]:
    """A machine with a keyring service, opened when its person logged in."""
    bus = {name: session.environ[name] for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")}
    with Machine(tmp_path, aws, environ=bus) as machine:
        yield machine


@pytest.fixture
def server(tmp_path: Path, aws: Aws) -> Iterator[Machine]:
    """A machine without a keyring service."""
    with Machine(tmp_path, aws) as machine:
        yield machine
        machine.roled("forget")  # the key of the sealed file would stay in the kernel for hours


@pytest.fixture(params=["desktop", "server"])
def machine(request: pytest.FixtureRequest) -> Machine:
    machine: Machine = request.getfixturevalue(request.param)
    return machine


@pytest.mark.parametrize(
    ("machine", "shell"), [("desktop", "bash"), ("server", "zsh"), ("desktop", "fish")], indirect=True
)
def test_promise_10_a_killed_daemon_loses_nothing_that_rests_in_the_store(
    machine: Machine, shell: str
) -> None:
    before = opened(machine, "marketingadmin", shell)
    key = before.key()
    kill_daemon(machine)
    after = opened(machine, "marketingadmin", shell)
    assert (after.key(), before.key()) == (key, key)
    assert len(machine.calls()) == 1


def test_promise_7_no_plain_file_holds_a_secret(
    machine: Machine, tmp_path: Path, session: KeyringSession
) -> None:
    terminal = opened(machine, "marketingadmin")
    eventually(machine.resting)
    secrets = [terminal.value(name) for name in SECRETS]
    assert all(secrets)
    assert [str(file) for file in holding(secrets, tmp_path, session.folder)] == []


@pytest.mark.parametrize("shift", range(3))
def test_the_search_for_secrets_finds_them_plain_and_in_base64(tmp_path: Path, shift: int) -> None:
    secret = "made up: 17 bytes"
    (tmp_path / "plain").write_text(f"so {secret} it is")
    (tmp_path / "base64").write_bytes(b64encode(f"{'.' * shift}{secret}, and on".encode()))
    (tmp_path / "neither").write_text(secret[1:])
    assert {file.name for file in holding([secret], tmp_path)} == {"plain", "base64"}


def test_what_was_forgotten_stays_forgotten(machine: Machine) -> None:
    key = opened(machine, "marketingadmin").key()
    machine.roled("forget")
    assert machine.resting() == []
    machine.kill_daemon()
    assert opened(machine, "marketingadmin").key() != key
    assert len(machine.calls()) == 2


def test_a_desktop_keeps_credentials_in_the_login_keyring(desktop: Machine) -> None:
    opened(desktop, "marketingadmin")
    assert desktop.status()["store"] == {"name": LOGIN, "working": True, "error": ""}


def test_a_machine_without_a_keyring_service_keeps_them_in_a_sealed_file(server: Machine) -> None:
    opened(server, "marketingadmin")
    assert server.status()["store"] == {"name": SealedFile.name, "working": True, "error": ""}


def test_a_locked_keyring_is_passed_over_and_nobody_is_asked(
    desktop: Machine, session: KeyringSession
) -> None:
    session.lock()
    key = opened(desktop, "marketingadmin").key()
    kill_daemon(desktop)
    assert opened(desktop, "marketingadmin").key() == key
    assert desktop.status()["store"] == {"name": SESSION, "working": True, "error": ""}
    assert not session.prompted


def test_a_keyring_that_hangs_costs_one_short_wait(desktop: Machine, session: KeyringSession) -> None:
    terminal = opened(desktop, "marketingadmin")
    eventually(desktop.resting)
    session.signal_service(signal.SIGSTOP)
    started = time.monotonic()
    terminal.use("long")
    assert terminal.key()
    assert time.monotonic() - started < BUDGET + STS
    error = f"{LOGIN} did not answer in time"
    assert desktop.status()["store"] == {"name": LOGIN, "working": False, "error": error}


def test_a_keyring_that_hangs_from_the_start_is_passed_over(
    desktop: Machine, session: KeyringSession
) -> None:
    session.signal_service(signal.SIGSTOP)
    key = opened(desktop, "marketingadmin").key()
    kill_daemon(desktop)
    assert opened(desktop, "marketingadmin").key() == key
    assert desktop.status()["store"] == {"name": SealedFile.name, "working": True, "error": ""}


def test_what_is_forgotten_after_the_keyring_hung_is_gone(desktop: Machine, session: KeyringSession) -> None:
    terminal = opened(desktop, "marketingadmin")
    eventually(desktop.resting)
    session.signal_service(signal.SIGSTOP)
    terminal.use("long")
    session.signal_service(signal.SIGCONT)
    desktop.roled("forget")
    assert desktop.resting() == []
    assert desktop.status()["store"]["working"]


def test_a_keyring_that_dies_costs_what_it_held(desktop: Machine, session: KeyringSession) -> None:
    terminal = opened(desktop, "marketingadmin")
    session.signal_service(signal.SIGKILL)
    terminal.use("long")
    assert terminal.key()
    assert not desktop.status()["store"]["working"]
    desktop.kill_daemon()
    opened(desktop, "long")
    assert desktop.status()["store"] == {"name": SESSION, "working": True, "error": ""}
    assert not session.prompted


def opened(machine: Machine, profile: str, shell: str = "bash") -> Terminal:
    """A new terminal that has the keys of a profile."""
    terminal = machine.terminal(shell)
    said = terminal.use(profile)
    assert terminal.key(), said
    return terminal


def kill_daemon(machine: Machine) -> None:
    """Kill it once all is at rest: what a renewal brought is stored after it was handed out."""
    eventually(machine.resting)
    machine.kill_daemon()


def holding(secrets: list[str], *folders: Path) -> Iterator[Path]:
    """The files that hold one of `secrets`, as it is or in base64."""
    needles = [needle for secret in secrets for needle in (secret.encode(), *in_base64(secret.encode()))]
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and any(needle in file.read_bytes() for needle in needles):
                yield file


def in_base64(secret: bytes) -> Iterator[bytes]:
    """What of `secret` shows in the base64 of any text around it.

    Three bytes become four letters, so it shows in three ways, by where in the text it begins.
    """
    for before in range(3):
        whole = secret[-before % 3 :]
        yield b64encode(whole[: len(whole) // 3 * 3])
