"""The contract of every store, kept by each backend; which backend is chosen."""

import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import secretstorage
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked
from keyring_session import KeyringSession, keyring_session

from roled.core.errors import WorkerFailed
from roled.edges import keychain as edge
from roled.edges.keychain import INDEX, SERVICE, Keychain, Memory, SecretServiceCollection, open_keychain
from roled.edges.sealed_file import SealedFile

NOW = 1_700_000_000.0
SECRET = "made up secret ünïcödé\n\0 " + "x" * 8000


def identity(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()


ADMIN, READER = identity("admin"), identity("reader")


class Clock:
    """Shows what it is set to."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Contract:
    """What a keychain promises, whatever keeps its items; a subclass names its backend."""

    @pytest.fixture
    def backend(self) -> KeyringBackend:
        raise NotImplementedError

    @pytest.fixture
    def keychain(self, backend: KeyringBackend, clock: Clock) -> Iterator[Keychain]:
        keychain = Keychain(backend, clock)
        yield keychain
        keychain.forget_all()

    def test_what_is_remembered_is_recalled_as_it_was(self, keychain: Keychain) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert keychain.recall(ADMIN) == SECRET

    def test_what_was_never_remembered_is_missing(self, keychain: Keychain) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert keychain.recall(READER) is None

    def test_the_newer_text_takes_the_place_of_the_older(self, keychain: Keychain, clock: Clock) -> None:
        keychain.remember(ADMIN, "old", NOW + 60)
        keychain.remember(ADMIN, "new", NOW + 120)
        clock.now = NOW + 90
        assert keychain.recall(ADMIN) == "new"

    def test_what_has_expired_is_missing(self, keychain: Keychain, clock: Clock) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        clock.now = NOW + 60
        assert keychain.recall(ADMIN) is None

    def test_what_has_expired_is_deleted_when_something_else_is_remembered(
        self, keychain: Keychain, backend: KeyringBackend, clock: Clock
    ) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        clock.now = NOW + 61
        keychain.remember(READER, SECRET, NOW + 120)
        assert backend.get_password(SERVICE, ADMIN) is None
        assert keychain.recall(READER) == SECRET

    def test_what_has_expired_is_deleted_by_the_next_run(
        self, keychain: Keychain, backend: KeyringBackend, clock: Clock
    ) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        clock.now = NOW + 61
        Keychain(backend, clock).purge()
        assert backend.get_password(SERVICE, ADMIN) is None
        assert json.loads(backend.get_password(SERVICE, INDEX) or "")["identities"] == {}

    def test_forgetting_one_keeps_the_others(self, keychain: Keychain) -> None:
        keychain.remember(ADMIN, "admin's", NOW + 60)
        keychain.remember(READER, "reader's", NOW + 60)
        keychain.forget(ADMIN)
        assert (keychain.recall(ADMIN), keychain.recall(READER)) == (None, "reader's")

    def test_forgetting_what_is_not_there_is_no_error(self, keychain: Keychain) -> None:
        keychain.forget(ADMIN)
        keychain.forget_all()

    def test_forgetting_all_leaves_no_item(self, keychain: Keychain, backend: KeyringBackend) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        keychain.remember(READER, SECRET, NOW + 60)
        keychain.forget_all()
        assert [backend.get_password(SERVICE, item) for item in (ADMIN, READER, INDEX)] == [None, None, None]

    @pytest.mark.parametrize(
        "garbage", ["", "no json", "null", "[]", '"text"', "{}", '{"schema": 1}', "[" * 5000, '{"schema": 2}']
    )
    def test_garbage_is_missing_and_makes_way(
        self, keychain: Keychain, backend: KeyringBackend, garbage: str
    ) -> None:
        backend.set_password(SERVICE, ADMIN, garbage)
        backend.set_password(SERVICE, INDEX, garbage)
        assert keychain.recall(ADMIN) is None
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert keychain.recall(ADMIN) == SECRET

    @pytest.mark.parametrize(
        "change",
        [{"schema": 2}, {"identity": READER}, {"expires_at": "soon"}, {"expires_at": None}, {"text": 7}],
    )
    def test_an_item_that_says_something_else_than_its_name_is_missing(
        self, keychain: Keychain, backend: KeyringBackend, change: dict[str, object]
    ) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        item = json.loads(backend.get_password(SERVICE, ADMIN) or "")
        backend.set_password(SERVICE, ADMIN, json.dumps(item | change))
        assert keychain.recall(ADMIN) is None


class TestMemory(Contract):
    @pytest.fixture
    def backend(self) -> KeyringBackend:
        return Memory()


class TestSealedFile(Contract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> KeyringBackend:
        return SealedFile(str(tmp_path))

    def test_the_next_run_recalls(self, keychain: Keychain, tmp_path: Path, clock: Clock) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert Keychain(SealedFile(str(tmp_path)), clock).recall(ADMIN) == SECRET


class SecretServiceContract(Contract):
    def test_the_next_run_recalls(self, keychain: Keychain, session: KeyringSession, clock: Clock) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert open_keychain(session.environ, clock=clock).recall(ADMIN) == SECRET

    @pytest.mark.parametrize("attributes", [[], ["application", SERVICE]])
    def test_an_item_of_another_program_is_missing_and_does_not_stand_in_the_way(
        self, keychain: Keychain, session: KeyringSession, attributes: list[str]
    ) -> None:
        names = ["service", SERVICE, "username", ADMIN, *attributes]
        place = [f"--collection={session_collection(keychain)}"]
        subprocess.run(
            ["secret-tool", "store", "--label=foreign", *place, *names],
            env=session.environ,
            input=b"\xff\xfe not even text",
            check=True,
        )
        assert keychain.recall(ADMIN) is None
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert keychain.recall(ADMIN) == SECRET
        subprocess.run(["secret-tool", "clear", *names], env=session.environ, check=True)

    def test_a_label_says_nothing_about_the_account(
        self, keychain: Keychain, session: KeyringSession
    ) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        with closing(session.connect()) as bus:
            labels = {item.get_label() for item in secretstorage.search_items(bus, {"service": SERVICE})}
        assert labels == {f"Password for '{item}' on 'roled'" for item in (ADMIN, INDEX)}


def session_collection(keychain: Keychain) -> str:
    return keychain.name.partition("(")[2].partition(" ")[0]


class TestSecretServiceDefaultCollection(SecretServiceContract):
    @pytest.fixture
    def session(self, desktop: KeyringSession) -> KeyringSession:
        return desktop

    @pytest.fixture
    def backend(self, desktop: KeyringSession) -> KeyringBackend:
        return SecretServiceCollection(desktop.environ["DBUS_SESSION_BUS_ADDRESS"])

    def test_it_is_the_first_choice(self, desktop: KeyringSession) -> None:
        assert open_keychain(desktop.environ, Memory).name == "Secret Service (login collection)"


class TestSecretServiceSessionCollection(SecretServiceContract):
    @pytest.fixture
    def session(self, headless: KeyringSession) -> KeyringSession:
        return headless

    @pytest.fixture
    def backend(self, headless: KeyringSession) -> KeyringBackend:
        return SecretServiceCollection(headless.environ["DBUS_SESSION_BUS_ADDRESS"])

    def test_it_is_chosen_where_nothing_was_ever_unlocked(self, headless: KeyringSession) -> None:
        assert open_keychain(headless.environ, Memory).name == "Secret Service (session collection)"

    def test_it_leaves_nothing_on_disk_and_asks_nothing(
        self, keychain: Keychain, headless: KeyringSession
    ) -> None:
        keychain.remember(ADMIN, SECRET, NOW + 60)
        assert (headless.files, headless.prompted) == (set(), False)


def test_a_locked_default_collection_is_passed_over_without_a_prompt(session: KeyringSession) -> None:
    session.lock()
    keychain = open_keychain(session.environ)
    assert keychain.name == "Secret Service (session collection)"
    keychain.remember(ADMIN, SECRET, time.time() + 60)
    assert keychain.recall(ADMIN) == SECRET
    assert not session.prompted


def test_a_collection_that_is_locked_later_fails_without_a_prompt(session: KeyringSession) -> None:
    keychain = open_keychain(session.environ)
    keychain.remember(ADMIN, SECRET, time.time() + 60)
    session.lock()
    questions: list[Callable[[], object]] = [
        lambda: keychain.recall(ADMIN),
        lambda: keychain.remember(ADMIN, SECRET, time.time() + 60),
        lambda: keychain.forget(ADMIN),
        keychain.forget_all,
        keychain.purge,
    ]
    for question in questions:
        with pytest.raises(WorkerFailed, match=r"^Secret Service \(login collection\) is locked$"):
            question()
    assert not session.prompted


def test_even_an_unlock_that_somebody_asks_for_shows_no_prompt(session: KeyringSession) -> None:
    session.lock()
    with (
        closing(edge._QuietBus(session.environ["DBUS_SESSION_BUS_ADDRESS"])) as bus,
        pytest.raises(KeyringLocked),
    ):
        secretstorage.get_collection_by_alias(bus, "default").unlock()
    assert not session.prompted


def test_the_trap_for_prompts_works(session: KeyringSession) -> None:
    session.lock()
    with closing(session.connect()) as bus:
        secretstorage.get_collection_by_alias(bus, "default").unlock()
    assert session.prompted


def test_a_service_that_hangs_is_passed_over(
    session: KeyringSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "PATIENCE", 0.1)
    session.signal_service(signal.SIGSTOP)
    try:
        assert open_keychain(session.environ, lambda: SealedFile(str(tmp_path))).name == SealedFile.name
    finally:
        session.signal_service(signal.SIGCONT)


def test_a_service_that_hangs_later_is_an_error_in_time(
    session: KeyringSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    keychain = open_keychain(session.environ)
    monkeypatch.setattr(edge, "PATIENCE", 0.1)
    session.signal_service(signal.SIGSTOP)
    try:
        with pytest.raises(WorkerFailed, match="did not answer in time"):
            keychain.recall(ADMIN)
    finally:
        session.signal_service(signal.SIGCONT)


def test_a_service_that_died_comes_back_locked_and_asks_nothing(session: KeyringSession) -> None:
    keychain = open_keychain(session.environ)
    keychain.remember(ADMIN, SECRET, time.time() + 60)
    session.signal_service(signal.SIGKILL)
    with pytest.raises(WorkerFailed):
        keychain.recall(ADMIN)
    assert open_keychain(session.environ).name == "Secret Service (session collection)"
    assert not session.prompted


def test_a_bus_that_is_gone_is_an_error() -> None:
    with keyring_session() as session:
        keychain = open_keychain(session.environ)
    with pytest.raises(WorkerFailed, match=r"^Secret Service \(login collection\) failed"):
        keychain.remember(ADMIN, SECRET, time.time() + 60)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_RUNTIME_DIR": "/nowhere"},
        {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"},
        {"DBUS_SESSION_BUS_ADDRESS": "nonsense"},
        {"DBUS_SESSION_BUS_ADDRESS": "autolaunch:"},
        {"XDG_CURRENT_DESKTOP": "KDE"},
    ],
)
def test_without_a_session_bus_the_sealed_file_is_chosen_at_once(
    environ: dict[str, str], tmp_path: Path
) -> None:
    started = time.monotonic()
    keychain = open_keychain(environ, lambda: SealedFile(str(tmp_path)))
    assert keychain.name == "sealed file, key in the kernel keyring"
    assert time.monotonic() - started < 1
    keychain.forget_all()


def test_a_login_without_the_bus_in_its_environment_finds_it_where_systemd_puts_it(
    desktop: KeyringSession, tmp_path: Path
) -> None:
    address = desktop.environ["DBUS_SESSION_BUS_ADDRESS"]
    (tmp_path / "bus").symlink_to(address.partition("path=")[2].partition(",")[0])
    assert open_keychain({"XDG_RUNTIME_DIR": str(tmp_path)}).name == "Secret Service (login collection)"


def test_where_nothing_can_be_had_memory_is_all() -> None:
    def absent() -> KeyringBackend:
        raise OSError("made up")

    assert open_keychain({}, absent).name == "memory only"


def test_a_backend_that_cannot_be_read_is_passed_over() -> None:
    assert open_keychain({}, Broken).name == "memory only"


def test_variables_and_files_that_steer_keyring_have_no_say(
    desktop: KeyringSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "python_keyring"
    config.mkdir()
    (config / "keyringrc.cfg").write_text("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")
    for name, value in {
        "XDG_CONFIG_HOME": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "KEYRING_PROPERTY_NAME": "hijacked",
        "KEYRING_PROPERTY_SCHEME": "KeePassXC",
        "KEYRING_PROPERTY_APPID": "hijacked",
        "KEYRING_PROPERTY_PREFERRED_COLLECTION": "/org/freedesktop/secrets/collection/session",
        "KEYRING_PROPERTY_GET_PASSWORD": "hijacked",
        "KEYRING_PROPERTY__PATH": "hijacked",
    }.items():
        monkeypatch.setenv(name, value)
    for environ, name in ((desktop.environ, "Secret Service (login collection)"), ({}, SealedFile.name)):
        keychain = open_keychain(environ, lambda: SealedFile(str(tmp_path)))
        keychain.remember(ADMIN, SECRET, time.time() + 60)
        assert (keychain.name, keychain.recall(ADMIN)) == (name, SECRET)
        keychain.forget_all()


def test_an_error_of_a_backend_says_no_secret() -> None:
    with pytest.raises(WorkerFailed) as caught:
        Keychain(Broken()).remember(ADMIN, SECRET, time.time() + 60)
    assert str(caught.value) == "broken failed: ZeroDivisionError"
    assert SECRET not in caught.value.hint


class Broken(Memory):
    """Fails in a way that nobody foresaw."""

    name = "broken"

    def get_password(self, service: str, username: str) -> str | None:
        raise ZeroDivisionError(SECRET)


@pytest.fixture(scope="module")
def desktop() -> Iterator[KeyringSession]:
    """A person's session: the login collection was unlocked when they logged in."""
    with keyring_session() as session:
        yield session


@pytest.fixture(scope="module")
def headless() -> Iterator[KeyringSession]:
    """A session without a password, where the bus starts gnome-keyring when it is asked for."""
    with keyring_session(password="") as session:
        yield session


@pytest.fixture
def session() -> Iterator[KeyringSession]:
    """A person's session that a test may break."""
    with keyring_session() as session:
        yield session
