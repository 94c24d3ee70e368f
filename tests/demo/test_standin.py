"""The stand-in asked over HTTP by boto3: where moto is lenient, it answers as AWS does."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from roled.demo.accounts import ACCOUNT, BUCKET, EXTERNAL_ID, MARKETING, PARTNER_ACCOUNT, ROLE_PROFILES
from roled.demo.faults import Fault
from roled.demo.standin import StandIn

ARNS = {role.profile: role.arn for role in ROLE_PROFILES}
USER = f"arn:aws:iam::{ACCOUNT}:user/user1"


def assume(sts: Any, profile: str = "marketingadmin", **more: Any) -> Any:
    return sts.assume_role(**{"RoleArn": ARNS[profile], "RoleSessionName": "me@host", **more})


def refused(call: Any, *arguments: Any, **more: Any) -> dict[str, str]:
    """The error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **more)
    error: dict[str, str] = caught.value.response["Error"]
    return error


def listed(s3: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]


def over_http(method: str, url: str, body: Any = None) -> Any:
    request = urllib.request.Request(url, method=method, data=body and json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_the_user_may_not_look_into_the_bucket_and_the_role_may(client: Any) -> None:
    assert refused(client("s3").list_objects_v2, Bucket=BUCKET)["Code"] == "AccessDenied"
    assert listed(client("s3", "marketingadmin")) == ["2026/q1.csv", "2026/q2.csv"]


def test_a_session_says_who_it_is(client: Any) -> None:
    answer = assume(client("sts"), "auditor")
    session = f"arn:aws:sts::{PARTNER_ACCOUNT}:assumed-role/auditrole/me@host"
    assert answer["AssumedRoleUser"]["Arn"] == session
    identity = client("sts", keys=answer["Credentials"]).get_caller_identity()
    assert (identity["Arn"], identity["Account"]) == (session, PARTNER_ACCOUNT)
    assert client("sts").get_caller_identity()["Arn"] == USER


def test_a_chain_of_roles_is_followed(client: Any) -> None:
    arn = client("sts", "reports").get_caller_identity()["Arn"]
    assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/reportsrole/")


@pytest.mark.parametrize("profile", ["untrusted", "unpermitted", "missing", "partner", "reports"])
def test_a_refusal_names_caller_action_and_role(profile: str, client: Any) -> None:
    error = refused(assume, client("sts"), profile)
    assert error["Code"] == "AccessDenied"
    text = f"User: {USER} is not authorized to perform: sts:AssumeRole on resource: {ARNS[profile]}"
    assert error["Message"] == text


def test_an_external_id_is_asked_for_and_compared(client: Any) -> None:
    assume(client("sts"), "partner", ExternalId=EXTERNAL_ID)
    assert refused(assume, client("sts"), "partner", ExternalId="another")["Code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("profile", "seconds", "lives"),
    [
        ("marketingadmin", None, 3600),
        ("marketingadmin", 900, 900),
        ("long", 43200, 43200),
        ("long", 899, None),
        ("long", 43201, None),
        ("too-long", 3601, None),
    ],
)
def test_a_duration_is_granted_or_refused_but_never_cut(
    profile: str, seconds: int | None, lives: int | None, client: Any
) -> None:
    more = {} if seconds is None else {"DurationSeconds": seconds}
    if lives is None:
        assert refused(assume, client("sts"), profile, **more)["Code"] == "ValidationError"
    else:
        expiration = assume(client("sts"), profile, **more)["Credentials"]["Expiration"]
        assert lives - 5 < expiration.timestamp() - time.time() <= lives


def test_a_session_gets_no_more_than_an_hour(client: Any, aws: StandIn) -> None:
    client("iam", "administrator").update_role(RoleName="reportsrole", MaxSessionDuration=43200)
    session = client("sts", "marketingadmin")
    assume(session, "reports", DurationSeconds=3600)
    assert "role chaining" in refused(assume, session, "reports", DurationSeconds=3601)["Message"]


@pytest.mark.parametrize("name", ["a b", "x", "a" * 65, "a;b", "ü" * 3])
def test_a_session_name_follows_the_model(name: str, client: Any) -> None:
    assert "roleSessionName" in refused(assume, client("sts"), RoleSessionName=name)["Message"]


def test_wrong_secret_unknown_key_and_wrong_token_are_told_apart(client: Any) -> None:
    keys = assume(client("sts"))["Credentials"]
    for service, ask, codes in (
        (
            "sts",
            "get_caller_identity",
            ("SignatureDoesNotMatch", "InvalidClientTokenId", "InvalidClientTokenId"),
        ),
        ("s3", "list_buckets", ("SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken")),
    ):
        for change, code in zip(
            ({"SecretAccessKey": "x" * 40}, {"AccessKeyId": "ASIA" + "X" * 16}, {"SessionToken": "x" * 40}),
            codes,
            strict=True,
        ):
            assert refused(getattr(client(service, keys={**keys, **change}), ask))["Code"] == code


def test_a_body_that_was_changed_on_the_way_is_refused(client: Any) -> None:
    s3 = client("s3", "administrator")
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: setattr(request, "body", b"bad"))
    error = refused(s3.put_object, Bucket=BUCKET, Key="new", Body=b"fit")
    assert error["Code"] == "XAmzContentSHA256Mismatch"


def test_nobody_chooses_the_account_by_motos_header(client: Any) -> None:
    iam = client("iam", "administrator")
    iam.meta.events.register(
        "before-send", lambda request, **_: request.headers.update({"X-Moto-Account-Id": PARTNER_ACCOUNT})
    )
    assert {user["UserName"] for user in iam.list_users()["Users"]} == {"user1", "administrator"}


def test_an_inactive_key_is_unknown(client: Any, aws: StandIn) -> None:
    key = aws.keys["user1"].access_key_id
    client("iam", "administrator").update_access_key(UserName="user1", AccessKeyId=key, Status="Inactive")
    assert refused(client("sts").get_caller_identity)["Code"] == "InvalidClientTokenId"


def test_a_session_ends_with_its_role(client: Any) -> None:
    keys = assume(client("sts", "marketingadmin"), "reports")["Credentials"]
    client("sts", keys=keys).get_caller_identity()
    client("iam", "administrator").delete_role(RoleName="reportsrole")
    assert refused(client("sts", keys=keys).get_caller_identity)["Code"] == "InvalidClientTokenId"
    assert refused(client("s3", keys=keys).list_buckets)["Code"] == "InvalidAccessKeyId"


def test_an_expired_session_is_refused_everywhere(client: Any, aws: StandIn) -> None:
    aws.faults.add(Fault("lifetime", 60))
    keys = assume(client("sts"))["Credentials"]
    assert listed(client("s3", keys=keys))
    aws.faults.add(Fault("clock", 61, count=None))
    assert refused(listed, client("s3", keys=keys))["Code"] == "ExpiredToken"
    assert refused(client("sts", keys=keys).get_caller_identity)["Code"] == "ExpiredToken"
    assert refused(assume, client("sts", keys=keys), "reports")["Code"] == "ExpiredToken"
    assert refused(client("iam", keys=keys).list_users)["Code"] == "ExpiredToken"


@pytest.mark.parametrize(
    ("offset", "text"), [(310, "Signature expired: "), (-310, "Signature not yet current: ")]
)
def test_a_clock_more_than_five_minutes_off_is_refused(
    offset: int, text: str, client: Any, aws: StandIn
) -> None:
    aws.faults.add(Fault("clock", offset))
    error = refused(client("sts").get_caller_identity)
    assert error["Code"] == "SignatureDoesNotMatch"
    assert error["Message"].startswith(text)
    assert error["Message"].endswith("5 min.)")


def test_the_date_header_shows_the_clock(client: Any, aws: StandIn) -> None:
    aws.faults.add(Fault("clock", -200))
    answer = client("sts").get_caller_identity()
    date = time.strptime(answer["ResponseMetadata"]["HTTPHeaders"]["date"], "%a, %d %b %Y %H:%M:%S GMT")
    assert -210 < time.mktime(date) - time.timezone - time.time() < -190


def test_an_edited_trust_policy_acts_at_once(client: Any) -> None:
    assume(client("sts"))
    other = {"Effect": "Allow", "Principal": {"AWS": PARTNER_ACCOUNT}, "Action": "sts:AssumeRole"}
    client("iam", "administrator").update_assume_role_policy(
        RoleName=MARKETING.role, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [other]})
    )
    assert refused(assume, client("sts"))["Code"] == "AccessDenied"


def test_every_call_is_recorded_without_secrets(client: Any, aws: StandIn) -> None:
    keys = assume(client("sts"), DurationSeconds=1800)["Credentials"]
    refused(assume, client("sts"), "untrusted")
    good, bad = over_http("GET", f"{aws.endpoint}/_standin/calls")
    assert good["signer"] == bad["signer"] == USER
    assert (good["action"], good["role_arn"], good["session_name"]) == (
        "AssumeRole",
        MARKETING.arn,
        "me@host",
    )
    assert (good["duration_seconds"], good["outcome"], bad["outcome"]) == ("1800", "ok", "AccessDenied")
    assert abs(good["at"] - time.time()) < 30
    for secret in (keys["SecretAccessKey"], keys["SessionToken"], *(key.secret for key in aws.keys.values())):
        assert secret not in json.dumps([good, bad]) + repr(aws.calls) + repr(aws.keys)
    over_http("DELETE", f"{aws.endpoint}/_standin/calls")
    assert aws.calls == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error", "value": "Throttling"}, ClientError),
        ({"kind": "status", "value": 503}, ClientError),
        ({"kind": "garbage"}, ResponseParserError),
        ({"kind": "drop"}, ConnectionClosedError),
        ({"kind": "hang"}, ReadTimeoutError),
    ],
)
def test_a_fault_strikes_as_often_as_ordered(
    fault: dict[str, Any], error: type[Exception], client: Any, aws: StandIn
) -> None:
    over_http("POST", f"{aws.endpoint}/_standin/faults", {**fault, "role": MARKETING.role})
    sts = client("sts")
    sts.get_caller_identity()
    with pytest.raises(error):
        assume(sts)
    assume(sts)
    assert over_http("GET", f"{aws.endpoint}/_standin/faults") == []
    assert [call.outcome for call in aws.calls[1:]] == [fault["kind"], "ok"]


def test_an_answer_can_be_made_to_lie(client: Any, aws: StandIn) -> None:
    wrong = {"SessionToken": "a'; touch x\n$(id)", "Arn": "arn:aws:sts::999999999999:assumed-role/other/me"}
    over_http("POST", f"{aws.endpoint}/_standin/faults", [{"kind": "answer", "value": wrong}])
    answer = assume(client("sts"))
    assert answer["Credentials"]["SessionToken"] == wrong["SessionToken"]
    assert answer["AssumedRoleUser"]["Arn"] == wrong["Arn"]
    assert assume(client("sts"))["AssumedRoleUser"]["Arn"].startswith(f"arn:aws:sts::{ACCOUNT}:")


def test_an_unknown_fault_is_refused(aws: StandIn) -> None:
    with pytest.raises(urllib.request.HTTPError, match="400"):
        over_http("POST", f"{aws.endpoint}/_standin/faults", {"kind": "earthquake"})


def test_unsigned_requests_and_motos_own_door_are_closed(aws: StandIn) -> None:
    for path in ("/", f"/{BUCKET}", "/moto-api/reset-auth", "/moto-api/data.json"):
        request = urllib.request.Request(f"{aws.endpoint}{path}", headers={"X-Moto-Account-Id": ACCOUNT})
        with pytest.raises(urllib.request.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=5)


def test_as_a_process_it_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "roled.demo.standin",
        "--session-seconds",
        "120",
        "--home",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        assert over_http("GET", f"{where['endpoint']}/_standin/calls") == []
        process.terminate()
        assert process.stdout.read() == ""
    assert process.returncode == 0
    assert where["endpoint"] in (tmp_path / ".aws" / "config").read_text()
    assert (tmp_path / ".aws" / "credentials").stat().st_mode & 0o777 == 0o600
