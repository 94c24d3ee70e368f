"""Where credentials rest between runs of the daemon: which keyring backend, and what its items look like.

Runs in the keyring worker only, which its parent kills when a service hangs. The backend is chosen here, not
by `keyring.get_keyring()`: its choice follows the environment and what else is installed, down to plaintext
files and prompts on the terminal. Nothing here unlocks, creates a collection or asks the person anything:
what is not open now is passed over.

A keyring can't be listed through `keyring`, so one more item, the index, says what is kept and until when.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote

from keyring.backend import KeyringBackend
from keyring.backends import SecretService, kwallet, macOS
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError

from roled.core.errors import WorkerFailed

if sys.platform == "linux":  # keyring brings these along on Linux only
    import secretstorage
    from jeepney.io.blocking import open_dbus_connection
    from secretstorage.collection import SESSION_COLLECTION

SERVICE = "roled"
INDEX = "index"  # no identity: those are 64 hex digits
SCHEMA = 1

PATIENCE = 1.0  # seconds for one D-Bus call: a stuck service leaves the worker time for the next backend

Opener = Callable[[], KeyringBackend]


class Keychain:
    """Texts by identity, each until its expiry, in one keyring backend; every failure is a WorkerFailed."""

    def __init__(self, backend: KeyringBackend, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._clock = clock

    @property
    def name(self) -> str:
        """The backend in the words of `roled status`."""
        return str(self._backend.name)

    def remember(self, identity: str, text: str, expires_at: float) -> None:
        """Keep `text` until `expires_at` (epoch seconds), in place of what was kept for `identity`."""
        with self._translated():
            # The index first: a crash in between leaves an entry without an item, not an item nobody finds.
            self._write_index({**self._purged_index(), identity: expires_at})
            envelope = {"schema": SCHEMA, "identity": identity, "expires_at": expires_at, "text": text}
            self._backend.set_password(SERVICE, identity, json.dumps(envelope))

    def recall(self, identity: str) -> str | None:
        """What was remembered for `identity`; None when that is nothing, expired, or not an item of ours."""
        with self._translated():
            envelope = self._read(identity)
        if envelope.get("identity") != identity or not _lasts(envelope.get("expires_at"), self._clock()):
            return None
        text = envelope.get("text")
        return text if isinstance(text, str) else None

    def forget(self, identity: str) -> None:
        with self._translated():
            self._delete(identity)
            index = self._index()
            if index.pop(identity, None) is not None:
                self._write_index(index)

    def forget_all(self) -> None:
        with self._translated():
            for identity in (*self._index(), INDEX):
                self._delete(identity)

    def purge(self) -> None:
        """Delete what has expired."""
        with self._translated():
            before = self._index()
            after = self._purged_index()
            if after != before:
                self._write_index(after)

    def _purged_index(self) -> dict[str, float]:
        """The index without its expired entries, whose items are deleted."""
        now = self._clock()
        index = self._index()
        for identity in [identity for identity, expires_at in index.items() if not expires_at > now]:
            self._delete(identity)
            del index[identity]
        return index

    def _index(self) -> dict[str, float]:
        entries = self._read(INDEX).get("identities")
        if not isinstance(entries, dict):
            return {}
        return {identity: until for identity, until in entries.items() if isinstance(until, int | float)}

    def _write_index(self, identities: Mapping[str, float]) -> None:
        index = {"schema": SCHEMA, "identities": identities}
        self._backend.set_password(SERVICE, INDEX, json.dumps(index))

    def _read(self, item: str) -> dict[str, Any]:
        """The JSON object in an item; empty when there is none, or one that we did not write."""
        try:
            envelope = json.loads(self._backend.get_password(SERVICE, item) or "{}")
        except (ValueError, RecursionError):  # not UTF-8, not JSON
            return {}
        return envelope if isinstance(envelope, dict) and envelope.get("schema") == SCHEMA else {}

    def _delete(self, item: str) -> None:
        try:
            self._backend.delete_password(SERVICE, item)
        except PasswordDeleteError:
            # Backends raise the same for an item that isn't there and for one that can't be deleted.
            if self._backend.get_password(SERVICE, item) is not None:
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn every failure into ours: keyring, secretstorage, jeepney and the system share no base class.

        Texts of theirs are left out: nobody promises that they hold no secret.
        """
        try:
            yield
        except KeyringLocked as error:
            raise WorkerFailed(
                f"{self.name} is locked", "credentials stay in memory until it is unlocked"
            ) from error
        except TimeoutError as error:
            raise WorkerFailed(f"{self.name} did not answer in time", "credentials stay in memory") from error
        except Exception as error:
            raise WorkerFailed(
                f"{self.name} failed: {type(error).__name__}", "credentials stay in memory"
            ) from error


def open_keychain(
    environ: Mapping[str, str], *embedded: Opener, clock: Callable[[], float] = time.time
) -> Keychain:
    """The first backend that can be read now: the system's, then those of `embedded`, then memory only.

    An opener raises, whatever it likes, where its backend isn't there.
    """
    openers: tuple[Opener, ...] = (
        MacKeychain,
        lambda: SecretServiceCollection(_bus_address(environ)),
        lambda: OpenKWallet(environ),
        *embedded,
    )
    for opener in openers:
        with suppress(Exception):
            keychain = Keychain(opener(), clock)
            keychain.purge()
            return keychain
    return Keychain(Memory(), clock)


class _Ours:
    """What makes a backend of keyring one that the environment has no say in."""

    priority: ClassVar[float] = 0  # keyring asks for one; it is never used to choose

    def __init__(self) -> None:
        """In place of keyring's own, which lets KEYRING_PROPERTY_* replace any attribute."""


class Memory(_Ours, KeyringBackend):
    """Nothing that outlives this process."""

    name = "memory only"

    def __init__(self) -> None:
        super().__init__()
        self._passwords: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self._passwords.pop((service, username), None) is None:
            raise PasswordDeleteError("no such item")


class MacKeychain(_Ours, macOS.Keyring):
    """The login keychain of macOS."""

    name = "macOS Keychain"
    keychain = None  # KEYCHAIN_PATH has no say

    def __init__(self) -> None:
        super().__init__()
        # Calls fail where a dialog would open, as for another Python than the one that wrote an item.
        macOS.api._sec.SecKeychainSetUserInteractionAllowed(False)  # noqa: SLF001


class SecretServiceCollection(_Ours, SecretService.Keyring):
    """One collection of the Secret Service: the default one if it is open, else the one held in memory."""

    name = "Secret Service"
    appid = SERVICE

    def __init__(self, bus_address: str) -> None:
        super().__init__()
        self._bus_address = bus_address
        with closing(_QuietBus(bus_address)) as bus:
            self._path = _open_collection(bus)
        self.name = f"Secret Service ({self._path.rsplit('/', 1)[-1]} collection)"

    def get_preferred_collection(self) -> "secretstorage.Collection":
        bus = _QuietBus(self._bus_address)
        try:
            collection = secretstorage.Collection(bus, self._path)
            _refuse_locked(collection)
        except BaseException:
            bus.close()
            raise
        return collection

    def unlock(self, item: "secretstorage.Item") -> None:
        _refuse_locked(item)

    def _query(self, service: str, username: str | None = None, **base: Any) -> dict[str, str]:
        # keyring searches without the application, and would find other programs' items first.
        return super()._query(service, username, **{**base, "application": self.appid})


class _QuietBus:
    """A connection to the session bus that shows no prompt and waits for nothing longer than PATIENCE."""

    def __init__(self, address: str) -> None:
        self._connection = open_dbus_connection(address, auth_timeout=PATIENCE)

    def send_and_get_reply(self, message: Any) -> Any:
        return self._connection.send_and_get_reply(message, timeout=PATIENCE)

    def filter(self, _rule: object) -> NoReturn:
        """Refuse: the only signal that secretstorage waits for is the end of a prompt it will show."""
        raise KeyringLocked("the keyring wants to ask the person")

    def close(self) -> None:
        self._connection.close()


def _open_collection(bus: _QuietBus) -> str:
    """The D-Bus path of the collection to use, or an exception."""
    with suppress(secretstorage.ItemNotFoundException):
        default = secretstorage.get_collection_by_alias(bus, "default")
        if not default.is_locked():
            return default.collection_path
    # gnome-keyring's collection without a password, in its memory: right for SSH logins and locked sessions.
    _refuse_locked(secretstorage.Collection(bus, SESSION_COLLECTION))
    return SESSION_COLLECTION


def _refuse_locked(thing: "secretstorage.Collection | secretstorage.Item") -> None:
    if thing.is_locked():
        raise KeyringLocked("the keyring is locked")


def _bus_address(environ: Mapping[str, str]) -> str:
    """Where the session bus listens; without the usual variable, as in SSH logins, where systemd puts it."""
    return environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={quote(environ['XDG_RUNTIME_DIR'])}/bus"


class OpenKWallet(_Ours, kwallet.DBusKeyring):
    """The wallet of KDE, if it is open; KDE's newer ones answer as a Secret Service and don't get here."""

    name = "KWallet"
    appid = SERVICE

    def __init__(self, environ: Mapping[str, str]) -> None:
        if "KDE" not in environ.get("XDG_CURRENT_DESKTOP", "").split(":"):
            raise InitError("this is no KDE desktop")
        super().__init__()
        self.handle = -1  # no wallet is open yet

    def connected(self, service: str) -> bool:
        """Whether the wallet can be used; a closed one would ask for its password."""
        bus = kwallet.dbus.SessionBus()  # type: ignore[attr-defined]  # imported where python-dbus is there
        if not bus.name_has_owner(self.bus_name):
            return False

        def call(method: str, signature: str, *arguments: str) -> Any:
            where = (self.bus_name, self.object_path, "org.kde.KWallet")
            return bus.call_blocking(*where, method, signature, arguments, timeout=PATIENCE)

        open_now = bool(call("isOpen", "s", call("networkWallet", "")))
        return open_now and bool(super().connected(service))  # type: ignore[no-untyped-call]

    def _migrate(self, service: str) -> None:
        """Nothing: keyring would move what its first releases stored for other programs."""


def _lasts(expires_at: object, now: float) -> bool:
    return isinstance(expires_at, int | float) and expires_at > now
