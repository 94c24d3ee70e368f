"""Workers as the daemon sees them: real child processes that answer, die, hang, print and go away."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import fake_sts
import pytest
from fake_sts import FakeSts

from roled.core.errors import AssumeRefused, BadRequest, WorkerFailed
from roled.edges import workers
from roled.edges.workers import Worker, environment

SECRET = "canarySecretAccessKeycanarySecretAccess0"
TOKEN = "canarySessionToken" * 8
WORKER = [sys.executable, "-I", "-m", "roled.worker", "sts"]
PLENTY = 30.0  # seconds, where the test is not about time


def assume_role(url: str, role: str = "marketingadmin") -> dict[str, Any]:
    return {
        "op": "assume_role",
        "keys": {
            "access_key_id": "AKIAFAKEFAKEFAKEFAKE",
            "secret_access_key": SECRET,
            "session_token": TOKEN,
        },
        "role_arn": f"arn:aws:iam::123456789012:role/{role}",
        "session_name": "marketing",
        "external_id": None,
        "duration_seconds": None,
        "region": "us-east-1",
        "endpoint_url": url,
        "regional_endpoints": None,
        "ca_bundle": None,
    }


@pytest.fixture
def aws() -> Iterator[FakeSts]:
    with FakeSts() as server:
        yield server


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker("sts")
    yield worker
    await worker.close()


def pid(worker: Worker) -> int:
    assert worker._child
    return worker._child._process.pid


def is_gone(number: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script be what is started as a worker."""
    path = tmp_path / "interpreter"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(path))


async def test_questions_asked_together_are_answered_together_and_each_gets_its_own(
    worker: Worker, aws: FakeSts
) -> None:
    aws.answer(fake_sts.session(delay=0.3), then=fake_sts.session())
    roles = ["slow", "quick", "other", "last"]
    answers = await asyncio.gather(*(worker.ask(assume_role(aws.url, role), PLENTY) for role in roles))
    assert [answer["assumed_role_arn"].split("/")[1] for answer in answers] == roles


async def test_several_questions_start_one_child_which_stays_for_the_next(
    worker: Worker, aws: FakeSts
) -> None:
    await asyncio.gather(*(worker.ask(assume_role(aws.url), PLENTY) for _ in range(8)))
    first = pid(worker)
    await worker.ask(assume_role(aws.url), PLENTY)
    assert pid(worker) == first


async def test_an_error_of_the_child_arrives_as_the_error_that_it_was(worker: Worker, aws: FakeSts) -> None:
    aws.answer(fake_sts.refusal("AccessDenied", "no", date_offset=100))
    with pytest.raises(AssumeRefused, match="may not assume") as caught:
        await worker.ask(assume_role(aws.url), PLENTY)
    assert "trust policy" in caught.value.hint
    assert caught.value.skew == pytest.approx(100, abs=3)


async def test_a_question_that_the_child_does_not_know_is_an_error_and_harms_nothing(
    worker: Worker, aws: FakeSts
) -> None:
    with pytest.raises(BadRequest):
        await worker.ask({"op": "dance"}, PLENTY)
    with pytest.raises(WorkerFailed, match="KeyError"):
        await worker.ask({"op": "assume_role"}, PLENTY)
    assert await worker.ask(assume_role(aws.url), PLENTY)


async def test_a_child_killed_in_the_middle_fails_its_questions_and_the_next_gets_a_new_one(
    worker: Worker, aws: FakeSts
) -> None:
    aws.answer(fake_sts.hang(), then=fake_sts.session())
    question = asyncio.create_task(worker.ask(assume_role(aws.url), PLENTY))
    await until(lambda: len(aws.calls) == 1)
    first = pid(worker)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(WorkerFailed, match="the sts worker died"):
        await question
    assert await worker.ask(assume_role(aws.url), PLENTY)
    assert pid(worker) != first


async def test_a_child_killed_while_nobody_asks_is_not_noticed(worker: Worker, aws: FakeSts) -> None:
    await worker.ask(assume_role(aws.url), PLENTY)
    child = worker._child
    assert child
    os.kill(pid(worker), signal.SIGKILL)
    await until(lambda: not child.alive)
    assert await worker.ask(assume_role(aws.url), PLENTY)


async def test_a_child_that_never_answers_is_killed_at_its_deadline_with_all_it_was_doing(
    worker: Worker, aws: FakeSts
) -> None:
    await worker.ask(assume_role(aws.url), PLENTY)
    child = pid(worker)
    aws.answer(fake_sts.hang())
    patient = asyncio.create_task(worker.ask(assume_role(aws.url), PLENTY))
    await until(lambda: len(aws.calls) == 2)
    with pytest.raises(WorkerFailed, match=r"no answer within 0\.2 s"):
        await worker.ask(assume_role(aws.url), 0.2)
    with pytest.raises(WorkerFailed):
        await patient
    await until(lambda: is_gone(child))


async def test_waiting_for_a_turn_is_not_held_against_a_question(worker: Worker, aws: FakeSts) -> None:
    await worker.ask(assume_role(aws.url), PLENTY)
    aws.answer(fake_sts.session(delay=0.6))
    questions = (worker.ask(assume_role(aws.url), 1.1) for _ in range(2 * workers.AT_ONCE["sts"]))
    assert len(await asyncio.gather(*questions)) == 8


async def test_a_question_given_up_leaves_no_trace(worker: Worker, aws: FakeSts) -> None:
    aws.answer(fake_sts.session(delay=0.3), then=fake_sts.session())
    question = asyncio.create_task(worker.ask(assume_role(aws.url), PLENTY))
    await until(lambda: len(aws.calls) == 1)
    question.cancel()
    await asyncio.gather(question, return_exceptions=True)
    for _ in range(3):
        assert await worker.ask(assume_role(aws.url), PLENTY)
    assert worker._child
    assert not worker._child._waiting


async def test_a_child_without_questions_goes_and_comes_back_when_asked(aws: FakeSts) -> None:
    worker = Worker("sts", idle_after=0)
    await worker.ask(assume_role(aws.url), PLENTY)
    child = pid(worker)
    await until(lambda: is_gone(child))
    assert await worker.ask(assume_role(aws.url), PLENTY)
    await worker.close()


async def test_close_leaves_no_process_behind_and_may_come_before_the_first_question(aws: FakeSts) -> None:
    worker = Worker("sts")
    await worker.close()
    await worker.ask(assume_role(aws.url), PLENTY)
    child = pid(worker)
    await worker.close()
    assert is_gone(child)


async def test_a_killed_child_takes_its_own_children_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        tmp_path, monkeypatch, f"""sleep 1000 & echo $! >{tmp_path}/pid; echo '{{"id":0,"ok":{{}}}}'; wait"""
    )
    worker = Worker("keyring")
    with pytest.raises(WorkerFailed):
        await worker.ask({"op": "open"}, 0.1)
    grandchild = int((tmp_path / "pid").read_text())
    await until(lambda: is_gone(grandchild))
    await worker.close()


async def test_a_child_that_cannot_start_says_how_to_see_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "exit 1")
    with pytest.raises(WorkerFailed, match="the sts worker died") as caught:
        await Worker("sts").ask({"op": "open"}, PLENTY)
    assert caught.value.hint == f"to see why, run: {tmp_path}/interpreter -I -m roled.worker sts </dev/null"
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(WorkerFailed, match="cannot start the sts worker: No such file"):
        await Worker("sts").ask({"op": "open"}, PLENTY)


async def test_a_child_that_never_gets_ready_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid; exec sleep 1000")
    monkeypatch.setattr(workers, "START", 0.2)
    with pytest.raises(WorkerFailed, match=r"no answer within 0\.2 s"):
        await Worker("sts").ask({"op": "open"}, PLENTY)
    child = int((tmp_path / "pid").read_text())
    await until(lambda: is_gone(child))


@pytest.mark.parametrize("line", ["not json", "[]", '"text"', "{}", '{"id": []}', "x" * 2_000_000])
async def test_a_child_that_breaks_the_protocol_is_killed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "line").write_text(f'{{"id":0,"ok":{{}}}}\n{line}\n')
    stand_in(tmp_path, monkeypatch, f"cat {tmp_path}/line; exec sleep 1000")
    worker = Worker("sts")
    with pytest.raises(WorkerFailed, match="broke the protocol"):
        await worker.ask({"op": "open"}, PLENTY)
    await worker.close()


async def test_no_secret_is_in_a_childs_arguments_or_environment_nor_in_logs_and_reprs(
    aws: FakeSts, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    asyncio.get_running_loop().set_debug(True)
    worker = Worker("sts")
    with caplog.at_level(logging.DEBUG):
        await worker.ask(assume_role(aws.url), PLENTY)
        aws.answer(fake_sts.hang())
        seen = [_of_process(pid(worker), name) for name in ("cmdline", "environ")]
        with pytest.raises(WorkerFailed) as caught:
            await worker.ask(assume_role(aws.url), 0.2)
        await worker.close()
    everything = [*seen, caplog.text, repr(worker), repr(vars(worker)), repr(caught.value), caught.value.hint]
    for canary in (SECRET, TOKEN):
        assert canary not in "".join(everything)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_child_is_hardened_before_it_is_asked_anything(worker: Worker, aws: FakeSts) -> None:
    await worker.ask(assume_role(aws.url), PLENTY)
    limits = _of_process(pid(worker), "limits")
    (core,) = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core == ["0", "0"]


def test_a_child_is_not_told_whose_aws_it_is_nor_whom_it_could_ask() -> None:
    passed_on = {
        "HOME": "/home/me",
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "https_proxy": "http://proxy",
        "NO_PROXY": "localhost",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "ROLED_RUNTIME_DIR": "/run/roled",
        "LD_PRELOAD": "libproxychains.so",
    }
    kept_back = dict.fromkeys(
        (
            "AWS_PROFILE",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_CA_BUNDLE",
            "DISPLAY",
            "PYTHONPATH",
            "PYTHON_KEYRING_BACKEND",
            "KEYRING_PROPERTY_KEYCHAIN",
        ),
        "x",
    )
    assert environment({**passed_on, **kept_back}) == passed_on


def test_a_worker_ends_with_its_stdin_even_in_the_middle_of_a_call(aws: FakeSts) -> None:
    aws.answer(fake_sts.hang())
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(json.dumps({**assume_role(aws.url), "id": 1}).encode() + b"\n")
        process.stdin.flush()
        aws.wait_for_calls(1)
        process.stdin.close()
        assert process.wait(timeout=2) == 0


def test_ctrl_c_is_not_for_workers() -> None:
    # A job in the background of a script would hand down that it ignores SIGINT.
    start = f"from os import *; from signal import *; signal(SIGINT, SIG_DFL); execv({WORKER[0]!r}, {WORKER})"
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdin.write(b'{"id": 1, "op": "dance"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.stdin.close()


def test_what_libraries_print_or_read_never_touches_the_pipes() -> None:
    noisy = """
import os, sys
from roled import worker
def answer(request):
    print("noise"); os.system("echo noise"); os.write(1, b"noise")
    return {"read": sys.stdin.read()}
worker.KINDS["noisy"] = (lambda: answer, 1)
worker.main("noisy")
"""
    lines = b'{"id": 1, "op": "x"}\n{"id": 2, "op": "x"}\n'
    with subprocess.Popen(
        [sys.executable, "-I", "-c", noisy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(lines)
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.stdin.close()
        rest = process.stdout.read()
    assert answers[1:] == [{"id": 1, "ok": {"read": ""}}, {"id": 2, "ok": {"read": ""}}]
    assert rest == b""


async def test_the_keyring_worker_keeps_texts_by_identity_and_names_its_keyring(tmp_path: Path) -> None:
    worker = Worker("keyring", {"HOME": str(tmp_path), "ROLED_RUNTIME_DIR": str(tmp_path)})
    name = (await worker.ask({"op": "open"}, PLENTY))["name"]
    text = "t" * 40_000
    expires_at = time.time() + 3600
    await worker.ask({"op": "remember", "identity": "a" * 64, "text": text, "expires_at": expires_at}, PLENTY)
    assert await worker.ask({"op": "recall", "identity": "a" * 64}, PLENTY) == {"name": name, "text": text}
    await worker.ask({"op": "forget", "identity": "a" * 64}, PLENTY)
    assert await worker.ask({"op": "recall", "identity": "a" * 64}, PLENTY) == {"name": name, "text": None}
    assert await worker.ask({"op": "forget_all"}, PLENTY) == {"name": name}
    await worker.close()


def _of_process(number: int, name: str) -> str:
    try:
        return Path(f"/proc/{number}/{name}").read_text()
    except PermissionError:
        return ""  # not root, and the worker is hardened
