"""Asks STS for a role session. The only file that knows boto3; owns the process of the sts worker."""

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from roled.core import credentials
from roled.core.errors import AwsUnreachable, BadAnswer, BadProfile, RoledError
from roled.core.refusals import Refusal, clean, explain

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 5  # seconds of silence
CALL = Config(
    connect_timeout=CONNECT_TIMEOUT,
    read_timeout=READ_TIMEOUT,
    # Retries are the keeper's. (`max_attempts: 1` would send two requests.)
    retries={"total_max_attempts": 1, "mode": "standard"},
    # What AWS says about a value is better than what botocore says about its shape.
    parameter_validation=False,
)

Request = Mapping[str, Any]
Kind = TypeVar("Kind", bound=BaseException)

_making_clients = threading.Lock()  # neither a session nor its configuration is safe for threads


def assume_role(request: Request) -> dict[str, Any]:
    """One AssumeRole, tried once.

    `request`: `keys` (`access_key_id`, `secret_access_key`, `session_token` or None), `role_arn`,
    `session_name`, `region`; and, each a value or None, `external_id`, `duration_seconds`, `endpoint_url`,
    `regional_endpoints`, `ca_bundle`.
    Gives the fields of core.credentials and `skew`, AWS's clock minus ours in seconds.
    Raises RoledError with `skew` set where AWS's answer told it; no secret is in its text.
    """
    client = _client(request)
    skew = None
    try:
        started = time.time()
        with _translated(request, client.meta.endpoint_url, started):
            answer: Mapping[str, Any] = client.assume_role(**_arguments(request))
        date = _date(answer)
        skew = _skew(date, started, time.time())
        issued_at = started if date is None else date
        session = credentials.from_answer(_fields(answer, issued_at), request["role_arn"], issued_at)
    except BadAnswer as error:
        error.skew = skew
        raise
    finally:
        client.close()
    return {**credentials.to_json(session), "skew": skew}


def _arguments(request: Request) -> dict[str, Any]:
    wanted = {
        "RoleArn": request["role_arn"],
        "RoleSessionName": request["session_name"],
        "ExternalId": request["external_id"],
        "DurationSeconds": request["duration_seconds"],
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _client(request: Request) -> "STSClient":
    keys = request["keys"]
    try:
        with _making_clients:
            core, session = _sessions()
            core.set_config_variable("sts_regional_endpoints", request["regional_endpoints"])
            client: STSClient = session.client(
                "sts",
                region_name=request["region"],
                endpoint_url=request["endpoint_url"],
                verify=request["ca_bundle"],
                aws_access_key_id=keys["access_key_id"],
                aws_secret_access_key=keys["secret_access_key"],
                aws_session_token=keys["session_token"],
                config=CALL,
            )
        _host(client.meta.endpoint_url)
    except (exceptions.BotoCoreError, ValueError) as error:
        raise BadProfile(
            "no STS address can be made of what the profile says",
            f"check its region ({clean(request['region'])}), endpoint_url and sts_regional_endpoints",
        ) from error
    return client


@cache
def _sessions() -> tuple[botocore.session.Session, boto3.Session]:
    """One session for life: each new one would load 7 MB of endpoints again, and leak a part of them."""
    _ignore_ambient_configuration()
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)  # below that they write secrets
    core = botocore.session.Session()
    return core, boto3.Session(botocore_session=core)


def _ignore_ambient_configuration() -> None:
    """All that counts is in the request; botocore would look for more in many variables and two files."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO")) or name == "REQUESTS_CA_BUNDLE":
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def _fields(answer: Mapping[str, Any], issued_at: float) -> dict[str, Any]:
    given = answer.get("Credentials") or {}
    expiration = given.get("Expiration")
    return {
        "access_key_id": given.get("AccessKeyId"),
        "secret_access_key": given.get("SecretAccessKey"),
        "session_token": given.get("SessionToken"),
        "issued_at": issued_at,
        "expires_at": expiration.timestamp() if isinstance(expiration, datetime) else None,
        "assumed_role_arn": (answer.get("AssumedRoleUser") or {}).get("Arn"),
    }


def _date(answer: Mapping[str, Any]) -> float | None:
    """The Date header of STS's answer, in epoch seconds."""
    header = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    with contextlib.suppress(ValueError):
        return parsedate_to_datetime(header).timestamp()
    return None


def _skew(date: float | None, started: float, ended: float) -> float | None:
    """The least difference of the clocks that `date`, cut to whole seconds, proves; 0 when they may agree."""
    if date is None:
        return None
    if started - 1 < date < ended:
        return 0.0
    return date - ended if date >= ended else date + 1 - started


@contextlib.contextmanager
def _translated(request: Request, endpoint: str, started: float) -> Iterator[None]:
    """What botocore raises becomes ours, in our words: botocore's quote the answer, and so may hold keys."""
    host = _host(endpoint)
    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(request, error.response, started, host) from error
    except exceptions.ConnectTimeoutError as error:
        raise AwsUnreachable(f"no connection to {host} within {CONNECT_TIMEOUT} s", _NETWORK) from error
    except exceptions.ReadTimeoutError as error:
        raise AwsUnreachable(f"no answer from {host} within {READ_TIMEOUT} s", _NETWORK) from error
    except exceptions.SSLError as error:
        raise _untrusted(error, host) from error
    except exceptions.ProxyConnectionError as error:
        raise AwsUnreachable(
            f"cannot reach {host}: its proxy does not answer", "check HTTPS_PROXY"
        ) from error
    except exceptions.ConnectionClosedError as error:
        raise AwsUnreachable(f"{host} closed the connection without an answer") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise AwsUnreachable(f"cannot reach {host}: {_reason(error)}", _NETWORK) from error
    except (exceptions.BotoCoreError, ResponseParserError, ValueError, LookupError) as error:
        raise _not_aws(host) from error


_NETWORK = "check the network, and the proxy if there is one"


def _host(endpoint: str) -> str:
    """Host and port alone, since an address may hold a password; ValueError if it is none."""
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _not_aws(host: str) -> RoledError:
    hint = "a captive portal or a proxy may be in the way"
    return AwsUnreachable(f"what {host} answers is not an answer of AWS", hint)


def _refusal(request: Request, answer: Mapping[str, Any], started: float, host: str) -> RoledError:
    error = answer.get("Error") or {}
    skew = _skew(_date(answer), started, time.time())
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    explained = (
        explain(
            Refusal(
                status=status,
                code=str(error["Code"]),
                message=_without_secrets(request, str(error.get("Message") or "")),
                role_arn=request["role_arn"],
                access_key_id=request["keys"]["access_key_id"],
                external_id=request["external_id"],
                duration_seconds=request["duration_seconds"],
                region=request["region"],
                skew=skew,
            )
        )
        if error.get("Code")
        else _not_aws(host)
    )
    explained.skew = skew
    return explained


def _without_secrets(request: Request, text: str) -> str:
    """AWS's own words; nothing when the other side sends back what it must not."""
    keys = request["keys"]
    secrets = (keys["secret_access_key"], keys["session_token"])
    return "" if any(secret and secret in text for secret in secrets) else text


def _untrusted(error: Exception, host: str) -> RoledError:
    failed = _find(error, ssl.SSLCertVerificationError)
    if failed is not None:
        why = clean(failed.verify_message)
        hint = (
            "if a proxy of your network signs its traffic, set ca_bundle in the profile to its certificates"
        )
        if "expired" in why or "not yet valid" in why:
            hint = "check this machine's clock"
        return AwsUnreachable(f"the certificate of {host} is not trusted: {why}", hint)
    if isinstance(missing := _find(error, OSError), FileNotFoundError | PermissionError):
        return AwsUnreachable(f"cannot read the ca_bundle of the profile: {_said(missing)}", "check the path")
    return AwsUnreachable(
        f"no safe connection to {host}", "check endpoint_url and the proxy, if there are any"
    )


def _reason(error: Exception) -> str:
    if _find(error, socket.gaierror):
        return "its name is not known here"
    found = _find(error, OSError)
    return _said(found) if found else "the connection broke off"


def _said(error: OSError) -> str:
    return clean(error.strerror or "no reason given").lower()


def _find(error: BaseException | None, kind: type[Kind]) -> Kind | None:
    """The innermost exception of `kind` that led to `error`."""
    found = None
    while error is not None:
        found = error if isinstance(error, kind) else found
        error = error.__cause__ or error.__context__
    return found
