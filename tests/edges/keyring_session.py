"""A session bus with a real gnome-keyring of its own; its prompter is a trap that tells of its use."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import secretstorage
from jeepney import DBusErrorResponse, message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection
from secretstorage.collection import SESSION_COLLECTION

PASSWORD = "made-up login password"
PROMPTER = "org.gnome.keyring.SystemPrompter"
SCRIPT = """
if [ -n "$PASSWORD" ]; then
    printf %s "$PASSWORD" | gnome-keyring-daemon --unlock --components=secrets >/dev/null
fi
echo "$DBUS_SESSION_BUS_ADDRESS"
exec cat
"""


@dataclass(frozen=True)
class KeyringSession:
    """What a program in this session sees, and what a test may do to it."""

    folder: Path
    environ: dict[str, str]

    @property
    def prompted(self) -> bool:
        """Whether anybody was asked for a password."""
        return (self.folder / "prompted").exists()

    @property
    def files(self) -> set[str]:
        """The keyring files on disk."""
        return {path.name for path in (self.folder / "share" / "keyrings").glob("*.keyring")}

    def wait_until_ready(self) -> None:
        with closing(self.connect()) as bus:
            secretstorage.Collection(bus, SESSION_COLLECTION)

    def lock(self) -> None:
        with closing(self.connect()) as bus:
            secretstorage.get_collection_by_alias(bus, "default").lock()

    def signal_service(self, number: signal.Signals) -> None:
        with closing(self.connect()) as bus:
            (pid,) = Proxy(message_bus, bus).GetConnectionUnixProcessID("org.freedesktop.secrets")
        os.kill(pid, number)

    def connect(self) -> DBusConnection:
        return open_dbus_connection(self.environ["DBUS_SESSION_BUS_ADDRESS"])


@contextmanager
def keyring_session(password: str = PASSWORD) -> Iterator[KeyringSession]:
    """A session whose login collection is open; without a password, one where nothing was ever unlocked."""
    # The control socket's path must be short, which pytest's own folders do not promise.
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environ = _environ(folder)
        (folder / "run").mkdir(mode=0o700)
        _lay_trap(folder)
        with (folder / "log").open("w") as log:
            bus = subprocess.Popen(
                ["dbus-run-session", "--", "sh", "-c", SCRIPT],
                env=environ | {"PASSWORD": password},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        with bus:
            assert bus.stdin is not None
            assert bus.stdout is not None
            address = bus.stdout.readline().strip()
            assert address, (folder / "log").read_text()
            session = KeyringSession(folder, environ | {"DBUS_SESSION_BUS_ADDRESS": address})
            session.wait_until_ready()
            try:
                yield session
            finally:
                with suppress(DBusErrorResponse):  # it died in the test
                    session.signal_service(signal.SIGKILL)
                bus.stdin.close()


def _environ(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "XDG_DATA_HOME": str(folder / "share"),
    }


def _lay_trap(folder: Path) -> None:
    services = folder / "share" / "dbus-1" / "services"
    services.mkdir(parents=True)
    # It fails at once: of one that ends well, the bus thinks that it is still starting.
    text = f"[D-BUS Service]\nName={PROMPTER}\nExec=/bin/sh -c 'touch {folder}/prompted; exit 1'\n"
    (services / f"{PROMPTER}.service").write_text(text)
