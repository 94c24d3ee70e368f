"""The sts worker, asked through its pipes, against an STS that answers well, badly or not at all."""

import contextlib
import itertools
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import fake_sts
import pytest
from botocore.config import Config
from fake_sts import FakeSts, refusal, session

from roled.core.errors import ERRORS, AwsUnreachable, RoledError
from roled.edges import sts

ROLE = "arn:aws:iam::123456789012:role/team/marketingadmin"
SECRET = "canarySecretAccessKeycanarySecretAccess0"
TOKEN = "canarySessionToken" * 8

Answer = dict[str, Any]


def request(**changes: Any) -> dict[str, Any]:
    plain = {
        "op": "assume_role",
        "keys": {
            "access_key_id": "AKIAFAKEFAKEFAKEFAKE",
            "secret_access_key": SECRET,
            "session_token": TOKEN,
        },
        "role_arn": ROLE,
        "session_name": "marketing",
        "external_id": None,
        "duration_seconds": None,
        "region": "us-east-1",
        "endpoint_url": None,
        "regional_endpoints": None,
        "ca_bundle": None,
    }
    return {**plain, **changes}


class Pipes:
    """A real worker process, and one question at a time to it."""

    def __init__(self, environ: Mapping[str, str], stderr: Path) -> None:
        self._numbers = itertools.count(1)
        with stderr.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "roled.worker", "sts"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environ,
            )
        assert self._read()["id"] == 0

    def ask(self, **changes: Any) -> Answer:
        number = next(self._numbers)
        self.send({**request(**changes), "id": number})
        answer = self._read()
        assert answer.pop("id") == number
        return answer

    def send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _read(self) -> Answer:
        assert self.process.stdout
        answer: Answer = json.loads(self.process.stdout.readline())
        return answer


@contextlib.contextmanager
def running(folder: Path, **environ: str) -> Iterator[Pipes]:
    """A worker; whatever was asked of it, it left no secret on stderr."""
    stderr = folder / "stderr"
    pipes = Pipes({"HOME": str(folder), **environ}, stderr)
    try:
        yield pipes
    finally:
        with pipes.process as process:
            process.kill()
    assert SECRET not in stderr.read_text()
    assert TOKEN not in stderr.read_text()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipes]:
    with running(tmp_path_factory.mktemp("worker")) as pipes:
        yield pipes


@pytest.fixture
def aws() -> Iterator[FakeSts]:
    with FakeSts() as server:
        yield server


@pytest.fixture
def in_this_process() -> Iterator[None]:
    """sts.py owns the process that it runs in; here it gives it back."""
    before = dict(os.environ)
    sts._sessions.cache_clear()
    yield
    sts._sessions.cache_clear()
    os.environ.clear()
    os.environ.update(before)


def refused(answer: Answer) -> RoledError:
    """The error in an answer; no secret is in any of its texts."""
    error = answer["error"]
    for canary in (SECRET, TOKEN):
        assert canary not in json.dumps(error)
    kind = ERRORS[error["code"]]
    return kind(error["message"], error["hint"])


def test_a_session_comes_back_with_its_times_and_its_account(worker: Pipes, aws: FakeSts) -> None:
    ok = worker.ask(endpoint_url=aws.url)["ok"]
    assert ok["access_key_id"] == "ASIAFAKEFAKEFAKEFAKE"
    assert ok["account"] == "123456789012"
    assert ok["assumed_role_arn"] == "arn:aws:sts::123456789012:assumed-role/marketingadmin/marketing"
    assert ok["expires_at"] - ok["issued_at"] == pytest.approx(3600, abs=2)
    assert ok["skew"] == 0


def test_aws_is_asked_for_what_the_profile_says_and_for_nothing_else(worker: Pipes, aws: FakeSts) -> None:
    worker.ask(endpoint_url=aws.url)
    worker.ask(endpoint_url=aws.url, external_id="7", duration_seconds=120)
    plain, full = (
        {k: v for k, v in call.form.items() if k not in {"Action", "Version"}} for call in aws.calls
    )
    assert plain == {"RoleArn": ROLE, "RoleSessionName": "marketing"}
    assert full == {**plain, "ExternalId": "7", "DurationSeconds": "120"}
    assert aws.calls[0].access_key_id == "AKIAFAKEFAKEFAKEFAKE"
    assert aws.calls[0].headers["X-Amz-Security-Token"] == TOKEN


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fake_sts.Answer(500), "500"),
        (fake_sts.Answer(503, b"<html>down</html>"), "503"),
        (fake_sts.captive_portal(503), "not an answer of AWS"),
        (fake_sts.captive_portal(), "not an answer of AWS"),
        (fake_sts.captive_portal(302), "not an answer of AWS"),
        (fake_sts.Answer(403, b"<html><body>Log in first</body></html>"), "not an answer of AWS"),
        (fake_sts.truncated_xml(), "not an answer of AWS"),
        (fake_sts.Answer(), "not an answer of AWS"),
        (fake_sts.session(expiration="tomorrow"), "not an answer of AWS"),
        (fake_sts.reset(), "closed the connection without an answer"),
        (fake_sts.Answer(body=b"<AssumeRole", break_off=4), "not an answer of AWS"),
        (fake_sts.throttled(), "Rate exceeded"),
    ],
)
def test_an_answer_that_is_none_may_come_right_by_itself_and_is_not_asked_for_twice(
    worker: Pipes, aws: FakeSts, answer: fake_sts.Reply, words: str
) -> None:
    aws.answer(answer)
    error = refused(worker.ask(endpoint_url=aws.url))
    assert isinstance(error, AwsUnreachable)
    assert words in str(error)
    assert len(aws.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        fake_sts.without_credentials(),
        session(access_key_id=None),
        session(secret_access_key=None),
        session(session_token=None),
        session(expires_in=-1),
        session(account="999999999999"),
        session(role_name="administrator"),
        session(access_key_id="ASIA$(touch /tmp/owned)"),
        session(secret_access_key="quote'quote\"quote`quote`"),
        session(session_token="two\nlines"),
        session(session_token="back\\slash;"),
        session(session_token="x" * 1_000_000),
    ],
)
def test_an_answer_that_must_not_reach_a_shell_does_not_leave_the_worker(
    worker: Pipes, aws: FakeSts, answer: fake_sts.Reply
) -> None:
    aws.answer(answer)
    error = worker.ask(endpoint_url=aws.url)["error"]
    assert error["code"] == "bad-answer"
    assert error["skew"] == 0
    assert len(json.dumps(error)) < 1000


def test_a_denial_arrives_with_the_permissions_to_look_at(worker: Pipes, aws: FakeSts) -> None:
    user = "arn:aws:iam::123456789012:user/marketing"
    aws.answer(
        refusal(
            "AccessDenied", f"User: {user} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
        )
    )
    error = refused(worker.ask(endpoint_url=aws.url))
    assert str(error) == f"{user} may not assume {ROLE}"
    assert "sts:AssumeRole" in error.hint
    assert "trust policy" in error.hint


def test_a_server_that_sends_the_session_token_back_cannot_put_it_into_a_message(
    worker: Pipes, aws: FakeSts
) -> None:
    aws.answer(lambda call: refusal("OddError", f"you sent {call.headers['X-Amz-Security-Token']}"))
    assert "OddError" in str(refused(worker.ask(endpoint_url=aws.url)))


@pytest.mark.parametrize(("offset", "words"), [(-1200, "20 minutes ahead"), (1200, "20 minutes behind")])
def test_a_signature_refused_for_its_time_is_a_wrong_clock(
    worker: Pipes, aws: FakeSts, offset: int, words: str
) -> None:
    aws.answer(refusal("SignatureDoesNotMatch", "Signature expired: it is late", date_offset=offset))
    answer = worker.ask(endpoint_url=aws.url)
    assert words in str(refused(answer))
    assert answer["error"]["code"] == "clock-wrong"
    assert answer["error"]["skew"] == pytest.approx(offset, abs=3)


def test_times_of_a_session_are_those_of_awss_clock(worker: Pipes, aws: FakeSts) -> None:
    aws.answer(session(date_offset=600, expires_in=900))
    ok = worker.ask(endpoint_url=aws.url)["ok"]
    assert ok["skew"] == pytest.approx(600, abs=3)
    assert ok["issued_at"] == pytest.approx(time.time() + 600, abs=3)
    assert ok["expires_at"] - ok["issued_at"] == pytest.approx(900, abs=2)


def test_without_a_date_the_clocks_count_as_equal_and_the_skew_as_unknown(
    worker: Pipes, aws: FakeSts
) -> None:
    def undated(call: fake_sts.Call) -> fake_sts.Answer:
        return fake_sts.Answer(body=session()(call).body, date_offset=None)

    aws.answer(undated)
    ok = worker.ask(endpoint_url=aws.url)["ok"]
    assert ok["skew"] is None
    assert ok["issued_at"] == pytest.approx(time.time(), abs=10)


@pytest.mark.parametrize(
    ("date", "started", "ended", "skew"),
    [
        (100.0, 100.2, 100.9, 0),  # Date shows the beginning of its second
        (100.0, 99.8, 100.1, 0),
        (100.0, 100.9, 104.0, 0),  # a slow answer proves nothing
        (100.0, 90.0, 90.5, 9.5),
        (100.0, 111.0, 112.0, -10),
        (None, 1.0, 2.0, None),
    ],
)
def test_the_skew_is_no_more_than_the_date_proves(
    date: float | None, started: float, ended: float, skew: float | None
) -> None:
    assert sts._skew(date, started, ended) == skew


def test_nobody_listening_is_told_with_the_host_and_without_the_password_in_its_address(
    worker: Pipes,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = refused(worker.ask(endpoint_url=f"http://user:{SECRET}@127.0.0.1:{port}"))
    assert str(error) == f"cannot reach 127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint_url": "nonsense"},
        {"endpoint_url": "http://127.0.0.1:99999"},
        {"region": "us east"},
        {"regional_endpoints": "sometimes"},
    ],
)
def test_an_address_that_cannot_be_one_is_the_profiles_fault(worker: Pipes, wrong: dict[str, str]) -> None:
    error = worker.ask(**{"endpoint_url": "http://127.0.0.1:1", **wrong})["error"]
    assert error["code"] == "bad-profile"


def test_a_dead_proxy_is_told_without_its_password(tmp_path: Path) -> None:
    with running(tmp_path, HTTP_PROXY=f"http://user:{SECRET}@127.0.0.1:1") as worker:
        error = refused(worker.ask(endpoint_url="http://sts.example.invalid"))
    assert str(error) == "cannot reach sts.example.invalid: its proxy does not answer"


def test_silence_ends_after_the_read_timeout(
    in_this_process: None, aws: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (sts.CALL.connect_timeout, sts.CALL.read_timeout) == (3, 5)
    monkeypatch.setattr(sts, "CALL", sts.CALL.merge(Config(read_timeout=0.1)))
    aws.answer(fake_sts.hang())
    with pytest.raises(AwsUnreachable, match=rf"no answer from 127\.0\.0\.1:{aws.port} within 5 s"):
        sts.assume_role(request(endpoint_url=aws.url))
    assert len(aws.calls) == 1


def test_a_black_hole_ends_after_the_connect_timeout(
    in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sts, "CALL", sts.CALL.merge(Config(connect_timeout=0.1)))
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):  # fill the queue of a server that never accepts; more are left without an answer
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(AwsUnreachable, match=r"no connection to 127\.0\.0\.1:\d+ within 3 s"):
            sts.assume_role(request(endpoint_url=f"http://127.0.0.1:{port}"))


def test_an_unknown_name_is_told_as_such(in_this_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        AwsUnreachable, match=r"cannot reach sts\.us-east-1\.amazonaws\.com: its name is not known"
    ):
        sts.assume_role(request())


def test_nothing_in_the_environment_or_in_the_aws_files_decides_where_or_who_asks(
    in_this_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile evil]\nendpoint_url = http://127.0.0.1:1\nuse_fips_endpoint = true\n")
    evil = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "evil",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "AKIAEVILEVILEVILEVIL",
        "AWS_REGION": "eu-central-1",
        "AWS_CA_BUNDLE": "/nonexistent",
        "REQUESTS_CA_BUNDLE": "/nonexistent",
        "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "7",
    }
    for name, value in evil.items():
        monkeypatch.setenv(name, value)
    client = sts._client(request())
    assert client.meta.endpoint_url == "https://sts.us-east-1.amazonaws.com"
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client._endpoint.http_session._verify is True
    assert not [name for name in os.environ if name in evil and name != "AWS_CONFIG_FILE"]
    client.close()


def test_the_kind_of_endpoint_is_each_requests_own(in_this_process: None) -> None:
    addresses = []
    for kind in ("legacy", None, "regional"):
        client = sts._client(request(regional_endpoints=kind))
        addresses.append(client.meta.endpoint_url)
        client.close()
    regional = "https://sts.us-east-1.amazonaws.com"
    assert addresses == ["https://sts.amazonaws.com", regional, regional]


def test_a_foreign_certificate_is_refused_until_the_profile_names_its_ca(
    worker: Pipes, tmp_path: Path
) -> None:
    certificate, context = _certificate(tmp_path, timedelta(days=1))
    with FakeSts(tls=context) as server:
        error = refused(worker.ask(endpoint_url=server.url))
        assert f"the certificate of 127.0.0.1:{server.port} is not trusted" in str(error)
        assert "ca_bundle" in error.hint
        assert "ok" in worker.ask(endpoint_url=server.url, ca_bundle=str(certificate))
        missing = refused(worker.ask(endpoint_url=server.url, ca_bundle=str(tmp_path / "missing.pem")))
        assert str(missing) == "cannot read the ca_bundle of the profile: no such file or directory"


def test_a_certificate_out_of_its_time_points_to_the_clock(worker: Pipes, tmp_path: Path) -> None:
    certificate, context = _certificate(tmp_path, timedelta(days=-1))
    with FakeSts(tls=context) as server:
        error = refused(worker.ask(endpoint_url=server.url, ca_bundle=str(certificate)))
    assert "expired" in str(error)
    assert "clock" in error.hint


def test_an_https_address_of_something_that_speaks_no_tls_is_told(worker: Pipes, aws: FakeSts) -> None:
    error = refused(worker.ask(endpoint_url=aws.url.replace("http:", "https:")))
    assert "no safe connection" in str(error)


def _certificate(folder: Path, valid_for: timedelta) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that vouches for itself, and a server's context with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + valid_for)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context
