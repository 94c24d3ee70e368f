"""The daemon as a process: how it starts, whom it serves, what it survives and how it ends."""

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import psutil
import pytest
from fake_sts import FakeSts, Reply, captive_portal, refusal, session, throttled
from fake_sts import reset as reset_by_peer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes import PROFILES, World
from live import COMMAND, Daemon, end, eventually
from roled import service
from roled.configs import Configs
from roled.core.errors import ERRORS
from roled.core.protocol import SHELL_VARIABLES
from roled.edges import awsconfig, client, paths, server, shells
from roled.edges.watcher import Watcher
from roled.keeper import Keeper

NOBODY = 65534
MIB = 1024 * 1024
SECRET = "canarySecretAccessKeycanarySecretAccess0"
TOKEN = "canarySessionToken" * 8
REPLIES = {"set", "unset", "until", "expires", "stamp", "say", "json"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users, mounts or capabilities")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, which pytest's own do not promise."""
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(folder) as daemon:
        yield daemon


@pytest.fixture
def aws() -> Iterator[FakeSts]:
    with FakeSts() as aws:
        yield aws


def socket_inode(daemon: Daemon) -> int:
    return os.lstat(f"{daemon.runtime}/socket").st_ino


def rss(daemon: Daemon) -> int:
    return int(psutil.Process(daemon.process.pid).memory_info().rss)


@pytest.mark.parametrize("kind", ["open to all", "below a file", "too long", "taken"])
def test_a_runtime_folder_that_cannot_be_used_is_refused_in_one_line_and_a_hint(
    folder: Path, kind: str
) -> None:
    daemon, run = Daemon(folder), folder / "run"
    match kind:
        case "open to all":
            run.mkdir()
            run.chmod(0o777)
        case "below a file":
            run.touch()
            daemon.environ["ROLED_RUNTIME_DIR"] += "/below"
        case "too long":
            daemon.environ["ROLED_RUNTIME_DIR"] += "/long" * 30
        case "taken":
            run.mkdir(mode=0o700)
            (run / "socket").write_text("mine")
    status, said = daemon.run()
    assert status == 1
    assert re.fullmatch(r"roled: [^\n]+\n {7}[^\n]+\n", said), said
    if kind == "taken":
        assert (run / "socket").read_text() == "mine"


@as_root
def test_a_runtime_folder_of_another_user_is_refused(folder: Path) -> None:
    (folder / "run").mkdir(mode=0o700)
    os.chown(folder / "run", NOBODY, NOBODY)
    status, said = Daemon(folder).run()
    assert (status, said.count("\n")) == (1, 2)
    assert "is not a private folder of this user" in said


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_all_that_it_makes_is_private_under_any_umask(folder: Path, umask: int) -> None:
    daemon = Daemon(folder)
    daemon.environ["ROLED_RUNTIME_DIR"] = daemon.runtime = f"{folder}/deep/run"
    daemon.process = daemon.spawn("--background", umask=umask)
    try:
        eventually(daemon.answers)
        daemon.lease("base")
        made = [Path(daemon.runtime), *Path(daemon.runtime).rglob("*"), *daemon.state.rglob("*")]
        assert {path.name for path in made} >= {"run", "socket", "lock", "stamps", "daemon.log"}
        assert not [path for path in [folder / "deep", *made] if path.lstat().st_mode & 0o077]
    finally:
        end(daemon.process)


def test_rubbish_in_the_start_lock_does_not_keep_it_from_being_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(folder)
    monkeypatch.setenv("HOME", str(daemon.home))
    os.mkdir(daemon.runtime, 0o700)
    (folder / "run" / "start.lock").write_bytes(b"\0\0\0 x nan \xff")
    assert client.start(daemon.runtime)
    eventually(daemon.answers)
    assert daemon.ask("stop") == ["OK"]


def test_of_twenty_started_at_once_one_stays_and_keeps_its_socket(folder: Path) -> None:
    daemon = Daemon(folder)
    all_of_them = [daemon.spawn() for _ in range(20)]
    try:
        eventually(daemon.answers)
        inode = socket_inode(daemon)
        eventually(lambda: sum(one.poll() is None for one in all_of_them) == 1)
        assert socket_inode(daemon) == inode
        assert daemon.answers()
        for one in all_of_them:
            if one.poll() is not None:
                assert (one.returncode, one.communicate()[1]) == (0, "roled: the daemon is already running\n")
    finally:
        for one in all_of_them:
            end(one)


def test_a_second_daemon_leaves_the_first_alone_even_when_the_lock_file_was_deleted(daemon: Daemon) -> None:
    inode = socket_inode(daemon)
    os.unlink(f"{daemon.runtime}/lock")
    assert daemon.run() == (0, "roled: the daemon is already running\n")
    assert socket_inode(daemon) == inode
    assert daemon.answers()


def test_killed_at_any_instant_it_comes_up_again_and_serves(folder: Path) -> None:
    daemon, chance = Daemon(folder), random.Random(20)
    for _ in range(12):
        daemon.process = daemon.spawn()
        # The instants are the point here: before, while and after it takes the lock and binds the socket.
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(chance.uniform(0, 0.25))
        end(daemon.process)
    with daemon:
        daemon.process.kill()  # which leaves its socket behind
    with daemon:
        assert daemon.lease("base")[-1] == "OK"


def test_nothing_is_loaded_from_where_it_happens_to_be_started(folder: Path) -> None:
    daemon, evil = Daemon(folder), folder / "evil"
    evil.mkdir()
    for name in ("socket", "asyncio", "psutil", "watchdog", "boto3", "keyring", "roled", "sitecustomize"):
        for place in (folder, evil):
            (place / f"{name}.py").write_text(f"open({str(folder / 'loaded')!r}, 'a').write({name!r})")
    daemon.environ |= {
        "PYTHONPATH": str(evil),
        "PYTHONSTARTUP": str(evil / "boto3.py"),
        "PYTHONHOME": "/evil",
    }
    with daemon:
        daemon.ask("forget")  # asks the keyring's worker
        assert psutil.Process(daemon.process.pid).cwd() == "/"
    assert not (folder / "loaded").exists()


@on_linux
def test_the_settings_of_who_started_it_are_gone_from_its_environment(folder: Path) -> None:
    with Daemon(folder, AWS_SECRET_ACCESS_KEY=SECRET, AWS_PROFILE="admin", KEPT="yes") as daemon:
        environ = Path(f"/proc/{daemon.process.pid}/environ").read_bytes().split(b"\0")
    assert b"KEPT=yes" in environ
    assert not [one for one in environ if one.startswith(b"AWS_")]


@on_linux
@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="setpriv is missing")
def test_its_own_user_cannot_look_into_it(folder: Path) -> None:
    # Root without capabilities is a user like any other here.
    ordinary = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    with Daemon(folder, command=[*ordinary, *COMMAND]) as daemon:
        for name, readable in (("self", True), (str(daemon.process.pid), False)):
            look = [*ordinary, "cat", f"/proc/{name}/environ"]
            assert (subprocess.run(look, capture_output=True, check=False).returncode == 0) is readable, name
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)


def names() -> st.SearchStrategy[str]:
    return st.sampled_from([*SHELL_VARIABLES, "profile", "pid", "wait", "shell", "tty", "v"]) | st.text(
        max_size=8
    )


def values() -> st.SearchStrategy[str]:
    """What a person or a program may have put into a variable: sensible, odd, or neither."""
    odd = [
        "",
        "/",
        "..",
        "~",
        "~root/x",
        "\x1b[31m",
        "ü",
        "a b",
        "%",
        "9" * 5000,
        "-1",
        "x" * 5000,
        "::::",
        "1:2:3:4",
    ]
    marker = "ASIA0000000000000001:1800003600:eu-west-1:a"
    return st.sampled_from([*PROFILES, "us-east-1", str(os.getpid()), marker, *odd]) | st.text(max_size=20)


def lines() -> st.SearchStrategy[bytes]:
    verbs = st.sampled_from(["lease", "credentials", "profiles", "forget", "ping", "status"]) | st.text(
        max_size=9
    )
    pairs = st.dictionaries(names(), values(), max_size=6)
    sound = st.builds(client._request, verbs, pairs)
    return (
        sound
        | st.binary(max_size=200)
        | st.builds(bytes.replace, sound, st.just(b"%"), st.binary(max_size=2))
    )


def test_whatever_is_sent_is_answered_or_refused_and_never_makes_it_stumble() -> None:
    with asyncio.Runner() as runner:  # one loop for all examples

        @settings(max_examples=150, deadline=None)
        @given(st.lists(lines(), max_size=8))
        @example([b"lease v=1 AWS_PROFILE=a pid=" + b"9" * 5000])
        def check(sent: list[bytes]) -> None:
            replies = runner.run(converse(sent))
            for line, reply in zip(sent, replies, strict=True):
                *before, last = reply.decode().removesuffix("\n").split("\n")
                assert last == "OK" or last.split(" ")[:2] in [["ERR", code] for code in ERRORS], (
                    line,
                    reply,
                )
                assert "stumbled" not in last, line
                assert all(one.split(" ")[0] in REPLIES and one.isprintable() for one in before), (
                    line,
                    reply,
                )

        check()


async def converse(sent: list[bytes]) -> list[bytes]:
    """What a daemon answers to these lines, one after the other."""
    world = World()
    edges = dataclasses.replace(world.keeper._edges, find_process=shells.find, aws_files=paths.aws_files)
    configs = Configs(world.files.read, awsconfig.signature, lambda _: None, "ann")
    keeper = Keeper(edges, configs)
    desk = server.Server(service._desk(keeper, asyncio.Event()))
    replies = [await desk.reply(line) for line in sent]
    await keeper.tick()
    await keeper.close()
    return replies


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing")
def test_another_user_gets_no_answer_even_through_opened_modes(daemon: Daemon) -> None:
    ask = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try: s.connect(sys.argv[1])\n"
        "except PermissionError: sys.exit('shut')\n"
        "try: s.sendall(b'ping v=1\\n'); print(s.recv(100))\n"
        "except ConnectionError: print(b'')\n"
    )
    command = ["/usr/bin/python3", "-I", "-c", ask, f"{daemon.runtime}/socket"]
    become = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]

    def asked(*prefix: str) -> str:
        finished = subprocess.run([*prefix, *command], capture_output=True, text=True, cwd="/", check=False)
        return (finished.stdout + finished.stderr).strip()

    assert asked(*become) == "shut"
    daemon.folder.chmod(0o755)
    os.chmod(daemon.runtime, 0o755)
    os.chmod(f"{daemon.runtime}/socket", 0o666)
    assert asked(*become) == "b''"
    assert asked().startswith("b'json ")


async def test_five_hundred_shells_at_once_are_all_answered(daemon: Daemon) -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_unix_connection(f"{daemon.runtime}/socket")
        writer.write(b"lease v=1 wait=0 AWS_PROFILE=base HOME=" + os.fsencode(daemon.home) + b"\n")
        answer = await reader.read()
        writer.close()
        return answer

    started = time.monotonic()
    answers = await asyncio.gather(*(ask() for _ in range(500)))
    assert all(answer.endswith(b"OK\n") for answer in answers)
    assert time.monotonic() - started < 5
    assert rss(daemon) < 32 * MIB


async def test_clients_that_dribble_delay_nobody(daemon: Daemon) -> None:
    async def dribble() -> None:
        _, writer = await asyncio.open_unix_connection(f"{daemon.runtime}/socket")
        with contextlib.closing(writer):
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.1)

    dribbling = [asyncio.create_task(dribble()) for _ in range(200)]
    await asyncio.sleep(0)
    for _ in range(10):
        started = time.monotonic()
        assert (await asyncio.to_thread(daemon.ask, "ping"))[-1] == "OK"
        assert time.monotonic() - started < 0.5
    for task in dribbling:
        task.cancel()
    await asyncio.wait(dribbling)


def test_an_endless_line_costs_no_memory(daemon: Daemon) -> None:
    daemon.answers()
    before = rss(daemon)
    for _ in range(20):
        with daemon.connect() as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64):
                connection.sendall(b"x" * MIB)
    assert rss(daemon) - before < 4 * MIB
    assert daemon.answers()


def test_clients_that_vanish_leave_no_trace(daemon: Daemon) -> None:
    files = psutil.Process(daemon.process.pid).num_fds
    daemon.answers()
    before = files()
    for number in range(1000):
        with daemon.connect() as connection:
            connection.sendall((b"status v=1\n", b"status v=1", b"")[number % 3])
    assert daemon.answers()
    eventually(lambda: files() <= before)
    status, said = daemon.end()
    assert (status, said.count("\n")) == (0, 2), said  # that it listens, and that it stopped


def test_with_few_files_everyone_is_served_in_turn(folder: Path) -> None:
    with Daemon(folder, command=["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *COMMAND]) as daemon:
        with contextlib.ExitStack() as held:
            for _ in range(200):
                held.enter_context(daemon.connect())
        with ThreadPoolExecutor(32) as pool:
            asked = [pool.submit(daemon.ask, "ping") for _ in range(200)]
            assert all(one.result()[-1] == "OK" for one in asked)
        used = sum(psutil.Process(daemon.process.pid).cpu_times()[:2])
        assert used < 5  # seconds: no loop that spins
        status, said = daemon.end()
        assert (status, said.count("\n")) == (0, 2), said


@on_linux
def test_workers_inherit_no_descriptor_of_the_daemons(daemon: Daemon, aws: FakeSts) -> None:
    aws.answer(session(delay=0.3))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(daemon.lease, "admin", AWS_ENDPOINT_URL_STS=aws.url)
        aws.wait_for_calls(1)
        own = links(daemon.process.pid)
        workers = psutil.Process(daemon.process.pid).children(recursive=True)
        assert {one.cmdline()[-1] for one in workers} == {"sts", "keyring"}
        for worker in workers:
            shared = {link for link in links(worker.pid) & own if not link.startswith(("/dev/", "pipe:"))}
            assert not shared
        assert asked.result()[-1] == "OK"


def links(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


@on_linux
def test_promise_7_no_secret_is_in_a_log_an_argument_or_a_plain_file(folder: Path, aws: FakeSts) -> None:
    verbose = (
        "import logging, sys; real = logging.basicConfig\n"
        "logging.basicConfig = lambda **settings: real(**{**settings, 'level': 1})\n"
        "from roled import daemon; sys.exit(daemon.main(['--background']))"
    )
    quoting = f"the canonical string was {SECRET} {TOKEN}"
    failures = [
        refusal(code, quoting) for code in ("AccessDenied", "SignatureDoesNotMatch", "Odd", "ExpiredToken")
    ]
    answers: list[Reply] = [
        *failures,
        throttled(),
        captive_portal(),
        reset_by_peer(),
        session(secret_access_key=f"{SECRET} "),
    ]
    command = [sys.executable, "-I", "-X", "dev", "-c", verbose]  # asyncio tells all it does in this mode
    with Daemon(folder, command=command) as daemon, Arguments() as arguments:
        daemon.config.write_text(
            daemon.config.read_text().replace("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", SECRET)
        )
        shell = {"HOME": str(daemon.home), "AWS_ENDPOINT_URL_STS": aws.url}
        for answer in answers:
            aws.answer(answer)
            with contextlib.suppress(OSError):
                daemon.lease("admin", AWS_ENDPOINT_URL_STS=aws.url)
            daemon.ask("credentials", profile="admin", **shell)
            daemon.ask("forget")
        aws.answer(session(secret_access_key=SECRET, session_token=TOKEN))
        assert f"set AWS_SECRET_ACCESS_KEY {SECRET}" in daemon.lease("admin", AWS_ENDPOINT_URL_STS=aws.url)
        shown = [daemon.ask(verb, **shell) for verb in ("ping", "status", "profiles", "odd")]
        for rubbish in (b"lease v=1 AWS_ACCESS_KEY_ID=" + SECRET.encode() + b"%\n", SECRET.encode() + b"\n"):
            with daemon.connect() as connection:
                connection.sendall(rubbish)
                shown.append([connection.recv(MIB).decode()])
        status, said = daemon.end()
        assert status == 0
        assert arguments.seen
    written = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != daemon.config
    }
    assert "assumed arn:aws:iam::111122223333:role/Admin" in written[daemon.log].decode()
    everything = "\n".join([said, *arguments.seen, str(shown), *map(str, written.values())])
    for secret in (SECRET[:-1], TOKEN[:18]):
        assert secret not in everything


class Arguments:
    """The arguments of all processes that run while the block does."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    self.seen.add(" ".join(process.cmdline()))


def test_ctrl_c_ends_it_without_a_fuss(daemon: Daemon) -> None:
    status, said = daemon.end(signal.SIGINT)
    assert (status, said.count("\n")) == (0, 2), said
    assert not os.path.lexists(f"{daemon.runtime}/socket")


def test_asked_to_end_it_gives_the_answers_under_way_and_takes_its_socket_along(
    daemon: Daemon, aws: FakeSts
) -> None:
    aws.answer(session(delay=0.3))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(daemon.lease, "admin", AWS_ENDPOINT_URL_STS=aws.url)
        aws.wait_for_calls(1)
        started = time.monotonic()
        status, _ = daemon.end()
        answer = asked.result()
    assert status == 0
    assert time.monotonic() - started < 4
    assert answer[0].startswith("set AWS_ACCESS_KEY_ID")
    assert answer[-1] == "OK"
    assert not os.path.lexists(f"{daemon.runtime}/socket")


def test_asked_twice_it_ends_at_once(daemon: Daemon) -> None:
    with daemon.connect():  # a client that says nothing holds it up, for two seconds at most
        assert daemon.answers()
        daemon.process.send_signal(signal.SIGTERM)
        eventually(lambda: not os.path.lexists(f"{daemon.runtime}/socket"))
        started = time.monotonic()
        assert daemon.end()[0] == 1
        assert time.monotonic() - started < 1


def test_the_stop_request_is_answered_before_it_ends(daemon: Daemon) -> None:
    assert daemon.ask("stop") == ["OK"]
    _, said = daemon.process.communicate(timeout=20)
    assert daemon.process.returncode == 0
    assert "Traceback" not in said


def test_stopped_while_it_starts_its_workers_it_leaves_none_behind(folder: Path) -> None:
    with Daemon(folder) as daemon:
        children = eventually(lambda: psutil.Process(daemon.process.pid).children(recursive=True))
        status, said = daemon.end()
    assert (status, said.count("\n")) == (0, 2), said  # that it listens, and that it stopped
    assert not any(child.is_running() for child in children)


def test_the_answer_that_a_dying_daemon_owes_comes_from_the_next(daemon: Daemon, aws: FakeSts) -> None:
    aws.answer(session(delay=5), then=session())
    command = [sys.executable, "-I", "-S", client.__file__, daemon.runtime, "bash", str(os.getpid()), "", "1"]
    environ = daemon.environ | {"AWS_PROFILE": "admin", "AWS_ENDPOINT_URL_STS": aws.url}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as shell:
        aws.wait_for_calls(1)
        daemon.process.kill()
        answer, _ = shell.communicate(timeout=20)
    try:
        assert answer.startswith("set AWS_ACCESS_KEY_ID")
    finally:
        daemon.ask("stop")


@pytest.fixture
def config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config for a daemon that runs in this very process, and its runtime folder."""
    monkeypatch.setattr(service, "CHECK_SECONDS", 0.02)
    config = Daemon(folder).config
    monkeypatch.setenv("HOME", str(folder / "home"))
    paths.prepare(str(folder / "run"))
    return config


@contextlib.asynccontextmanager
async def serving(runtime: Path) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(service._serve(str(runtime)))
    await until((runtime / "socket").exists)
    yield task
    if not task.done():
        await asyncio.to_thread(client.ask, str(runtime), "stop", {}, 10)
    await asyncio.wait_for(task, 10)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("what", ["folder", "socket"])
async def test_it_ends_when_shells_can_no_longer_reach_it(folder: Path, config: Path, what: str) -> None:
    run = folder / "run"
    async with serving(run) as task:
        if what == "folder":
            shutil.rmtree(run)
        else:
            (run / "socket").unlink()
        await asyncio.wait_for(task, 10)
    assert run.exists() is (what == "socket")


async def test_what_stands_in_its_place_by_then_is_left_alone(folder: Path, config: Path) -> None:
    run = folder / "run"
    async with serving(run) as task:
        run.rename(folder / "old")
        run.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(str(run / "socket"))
            found = (run / "socket").lstat()
            await asyncio.wait_for(task, 10)
            assert (run / "socket").lstat().st_ino == found.st_ino
    assert (folder / "old" / "socket").exists()


async def test_sighup_reads_the_config_even_if_nothing_told_of_its_change(
    folder: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DeafWatcher(Watcher):
        def _look(self) -> bool:
            return False

    monkeypatch.setattr(service, "Watcher", DeafWatcher)
    monkeypatch.setattr(service, "CHECK_SECONDS", 60)
    shell = {"HOME": str(folder / "home"), "AWS_PROFILE": "base", "pid": str(os.getpid()), "wait": "1"}
    async with serving(folder / "run"):
        answer = await asyncio.to_thread(client.ask, str(folder / "run"), "lease", shell, 10)
        stamp = folder / "run" / "stamps" / next(line for line in answer if line.startswith("stamp "))[6:]
        assert stamp.exists()
        await asyncio.to_thread(config.write_text, "[profile other]\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: not stamp.exists())


@pytest.mark.parametrize("by", ["hand", "systemd"])
def test_a_socket_that_was_handed_over_is_served_and_outlives_the_daemon(folder: Path, by: str) -> None:
    daemon = Daemon(folder, AWS_PROFILE="admin")  # which makes it start anew, with the socket
    os.mkdir(daemon.runtime, 0o700)
    path = f"{daemon.runtime}/socket"
    with socket.socket(socket.AF_UNIX) as listener:
        if by == "hand":
            listener.bind(path)
            listener.listen()
            script = f'exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
            daemon.command = ["bash", "-c", script, "bash", *COMMAND]
            daemon.process = daemon.spawn(pass_fds=[listener.fileno()])
        else:
            activate = shutil.which("systemd-socket-activate")
            if not activate:
                pytest.skip("systemd-socket-activate is missing")
            settings = [f"--setenv={name}={value}" for name, value in daemon.environ.items()]
            daemon.command = [activate, "-l", path, *settings, *COMMAND]
            daemon.process = daemon.spawn()
        try:
            eventually(daemon.answers)
            inode = socket_inode(daemon)
            status, said = daemon.end()
            assert status == 0, said
            assert socket_inode(daemon) == inode
        finally:
            end(daemon.process)


def test_a_descriptor_that_is_no_socket_is_refused_in_one_line(folder: Path) -> None:
    script = 'exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
    status, said = Daemon(folder, command=["bash", "-c", script, "bash", *COMMAND]).run()
    assert status == 1
    assert "roled: LISTEN_FDS is set, but descriptor 3 is not a socket\n" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", ["a file", "a folder"])
def test_a_log_that_cannot_be_written_does_not_keep_it_from_serving(folder: Path, place: str) -> None:
    daemon = Daemon(folder)
    if place == "a file":
        daemon.state.touch()
    else:
        daemon.log.mkdir(parents=True)
    daemon.process = daemon.spawn("--background")
    try:
        eventually(daemon.answers)
        assert daemon.end() == (0, "")
    finally:
        end(daemon.process)


def test_the_log_is_private_and_starts_anew_when_it_has_grown(folder: Path) -> None:
    daemon = Daemon(folder)
    daemon.log.parent.mkdir(parents=True)
    daemon.log.write_bytes(b"x" * service.LOG_BYTES)
    daemon.log.chmod(0o644)
    daemon.process = daemon.spawn("--background")
    try:
        eventually(daemon.answers)
        old = daemon.log.with_suffix(".log.1")
        assert old.stat().st_size == service.LOG_BYTES
        assert b"listens on" in daemon.log.read_bytes()
        assert [stat.S_IMODE(path.stat().st_mode) for path in (daemon.log, old)] == [0o600, 0o600]
    finally:
        end(daemon.process)


@as_root
@on_linux
def test_a_full_disk_keeps_nobody_from_their_credentials(folder: Path, aws: FakeSts) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False)
    if mount.returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        daemon = Daemon(folder)
        daemon.log.parent.mkdir(parents=True)
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        daemon.process = daemon.spawn("--background")
        try:
            eventually(daemon.answers)
            answer = daemon.lease("admin", AWS_ENDPOINT_URL_STS=aws.url)
            assert answer[0].startswith("set AWS_ACCESS_KEY_ID")
            status = json.loads(daemon.ask("status")[0].removeprefix("json "))
            assert status["profiles"][0]["state"] == "ready"
            assert daemon.end() == (0, "")
        finally:
            end(daemon.process)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
