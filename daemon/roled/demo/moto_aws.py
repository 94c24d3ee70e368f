"""Moto in this process: S3 with enforcement, and IAM as the place where users, roles and policies live.

Nothing else touches moto. Its state belongs to the process, so there is one of these at a time.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import moto.settings
from moto.iam.models import IAMBackend, Policy, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from roled.demo.policies import Document

PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class Key:
    """A user's access key."""

    access_key_id: str
    secret: str = field(repr=False)
    user_arn: str
    user_id: str
    account: str


@dataclass(frozen=True, slots=True)
class Role:
    arn: str
    role_id: str
    trust: Document
    longest_session: int


@dataclass(frozen=True, slots=True)
class Minted:
    """The fresh credentials of a role session."""

    access_key_id: str
    secret: str = field(repr=False)
    session_token: str = field(repr=False)


class MotoAws:
    """An AWS with no users and no buckets, until `administer` makes them and `enforce` closes the door."""

    def __init__(self) -> None:
        for backends in (iam_backends, sts_backends, s3_backends):
            backends.reset()
        moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
        self._app = DomainDispatcherApplication(create_backend_app)

    def administer(self, account: str, action: str, **parameters: str) -> ET.Element:
        """Call an IAM action in `account` as if by its owner; the answer's XML without namespaces."""
        return _parsed(self._as_owner("iam", account).post("/", data={"Action": action, **parameters}))

    def put(self, account: str, path: str, content: bytes = b"") -> None:
        """Make a bucket (`/bucket`) or an object (`/bucket/key`) in `account`."""
        response = self._as_owner("s3", account).put(path, data=content)
        if response.status_code != 200:
            raise RuntimeError(f"moto did not take {path}: {response.get_data(as_text=True)}")

    def enforce(self) -> None:
        """From here on every request needs a signature, and a policy that allows it."""
        moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0

    def answer(self, request: Request) -> Response:
        """What moto says to a request that has passed our own checks."""
        environ = {name: value for name, value in request.environ.items() if name != "HTTP_X_MOTO_ACCOUNT_ID"}
        body = request.get_data()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return Response.from_app(self._app, environ, buffered=True)

    def key(self, access_key_id: str) -> Key | None:
        """The active access key of a user in any account."""
        for account, iam in self._accounts():
            user = iam.get_user_from_access_key_id(access_key_id)
            if user is None:
                continue
            key = next(key for key in user.access_keys if key.access_key_id == access_key_id)
            active = key.status == "Active"
            return Key(access_key_id, key.secret_access_key, user.arn, user.id, account) if active else None
        return None

    def role(self, arn: str) -> Role | None:
        iam = iam_backends[arn.split(":")[4]][PARTITION]
        role = next((role for role in iam.roles.values() if role.arn == arn), None)
        if role is None:
            return None
        return Role(
            arn, role.id, json.loads(role.assume_role_policy_document), int(role.max_session_duration or 3600)
        )

    def user_policies(self, arn: str) -> list[Document]:
        """Every policy that speaks for a user: its own, the attached, and those of its groups."""
        iam, name = iam_backends[arn.split(":")[4]][PARTITION], arn.rsplit("/", 1)[-1]
        found: list[Any] = [iam.get_user_policy(name, policy) for policy in iam.list_user_policies(name)]
        found += iam.list_attached_user_policies(name)[0]
        for group in iam.get_groups_for_user(name):
            found += [
                iam.get_group_policy(group.name, policy) for policy in iam.list_group_policies(group.name)
            ]
            found += iam.list_attached_group_policies(group.name)[0]
        return [_document(policy) for policy in found]

    def role_policies(self, arn: str) -> list[Document]:
        iam, name = iam_backends[arn.split(":")[4]][PARTITION], arn.rsplit("/", 1)[-1]
        found: list[Any] = [iam.get_role_policy(name, policy)[1] for policy in iam.list_role_policies(name)]
        found += iam.list_attached_role_policies(name)[0]
        return [_document(policy) for policy in found]

    def mint(self, role_arn: str, session_name: str, duration: int) -> Minted:
        """Credentials that moto's S3 knows as a session of the role. Moto itself never lets them expire."""
        minted = sts_backends[role_arn.split(":")[4]][PARTITION].assume_role(
            region_name="us-east-1",
            role_session_name=session_name,
            role_arn=role_arn,
            policy="",
            duration=duration,
            external_id="",
        )
        return Minted(minted.access_key_id, minted.secret_access_key, minted.session_token)

    def _accounts(self) -> Iterator[tuple[str, IAMBackend]]:
        return ((account, iam_backends[account][PARTITION]) for account in list(iam_backends))

    def _as_owner(self, service: str, account: str) -> Client:
        # Moto reads the service off the Authorization header; before `enforce` it looks no further.
        scope = f"AWS4-HMAC-SHA256 Credential=owner/20260101/us-east-1/{service}/aws4_request"
        return _OwnersClient(self._app, {"Authorization": scope, "X-Moto-Account-Id": account})


class _OwnersClient(Client):
    def __init__(self, app: Any, headers: Mapping[str, str]) -> None:
        super().__init__(app)
        self._headers = headers

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return super().open(*args, headers=self._headers, **kwargs)


def _parsed(response: Any) -> ET.Element:
    text = response.get_data(as_text=True)
    if response.status_code != 200:
        raise RuntimeError(f"moto refused what the stand-in's accounts need: {text}")
    tree = ET.fromstring(text)  # noqa: S314 - it is our own process that wrote it
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree


def _document(policy: Any) -> Document:
    """The parsed document of whatever moto keeps a policy as."""
    if isinstance(policy, Policy):
        text = next(version.document for version in policy.versions if version.is_default)
    else:
        text = policy if isinstance(policy, str) else policy["policy_document"]
    document: Document = json.loads(text)
    return document
