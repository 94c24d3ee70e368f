"""The people, roles and bucket of the AWS CLI manual's story, and the AWS files of somebody who works there.

https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html tells it: user1 may not look into the
bucket; the role marketingadminrole may, and its trust policy names the account of user1. The other profiles
show what else can happen.
"""

import json
import os
from configparser import ConfigParser
from dataclasses import dataclass, field

from roled.demo.moto_aws import MotoAws
from roled.demo.policies import Document

ACCOUNT = "123456789012"
PARTNER_ACCOUNT = "210987654321"
REGION = "us-west-2"
BUCKET = "marketing-reports"
EXTERNAL_ID = "Unique/4711"


@dataclass(frozen=True, slots=True)
class RoleProfile:
    """A role, what it trusts and may do, and how the profile of the same purpose asks for it."""

    profile: str
    role: str
    trusts: str = ACCOUNT
    account: str = ACCOUNT
    permitted: bool = True  # user1's policy allows to assume it
    reads_bucket: bool = False
    longest_session: int = 3600
    condition: Document = field(default_factory=dict)
    settings: Document = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role/{self.role}"


MARKETING = RoleProfile("marketingadmin", "marketingadminrole", reads_bucket=True, longest_session=43200)
WITH_EXTERNAL_ID = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}

ROLE_PROFILES = (
    MARKETING,
    RoleProfile("auditor", "team/auditrole", account=PARTNER_ACCOUNT),
    RoleProfile(
        "reports", "reportsrole", trusts=MARKETING.arn, settings={"source_profile": "marketingadmin"}
    ),
    RoleProfile("partner", "partnerrole", condition=WITH_EXTERNAL_ID, settings={"external_id": EXTERNAL_ID}),
    RoleProfile("partner-anonymous", "partnerrole", condition=WITH_EXTERNAL_ID),
    RoleProfile("long", "longrole", longest_session=43200, settings={"duration_seconds": "43200"}),
    RoleProfile("too-long", "shortrole", settings={"duration_seconds": "43200"}),
    RoleProfile("untrusted", "untrustedrole", trusts=f"arn:aws:iam::{ACCOUNT}:user/administrator"),
    RoleProfile("unpermitted", "unpermittedrole", permitted=False),
    RoleProfile("missing", "missingrole"),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The access key of a user."""

    access_key_id: str
    secret: str = field(repr=False)


def settle(aws: MotoAws) -> dict[str, Keys]:
    """Make users, roles and bucket; the keys by the user's name. `administrator` may do anything."""
    keys = {name: _user(aws, name) for name in ("user1", "administrator")}
    _permit(aws, "User", "administrator", [_allow("*", "*")], ACCOUNT)
    permitted = sorted({role.arn for role in ROLE_PROFILES if role.permitted})
    _permit(aws, "User", "user1", [_allow("sts:AssumeRole", permitted)], ACCOUNT)
    for role in {role.arn: role for role in ROLE_PROFILES if role.profile != "missing"}.values():
        _role(aws, role)
    aws.put(ACCOUNT, f"/{BUCKET}")
    for quarter in ("q1", "q2"):
        aws.put(ACCOUNT, f"/{BUCKET}/2026/{quarter}.csv", b"campaign,leads\nspring,4711\n")
    return keys


def write_files(home: str, endpoint: str, keys: dict[str, Keys]) -> None:
    """`.aws/config` and `.aws/credentials` in `home`, as the manual has them."""
    config, credentials = ConfigParser(interpolation=None), ConfigParser(interpolation=None)
    common = {"region": REGION, "endpoint_url": endpoint}
    config["default"] = common
    for name, user in (("default", "user1"), ("user1", "user1"), ("administrator", "administrator")):
        credentials[name] = {
            "aws_access_key_id": keys[user].access_key_id,
            "aws_secret_access_key": keys[user].secret,
        }
        config["default" if name == "default" else f"profile {name}"] = common
    for role in ROLE_PROFILES:
        config[f"profile {role.profile}"] = {
            "role_arn": role.arn,
            "source_profile": "user1",
            **common,
            **role.settings,
        }
    folder = os.path.join(home, ".aws")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for name, parser in (("config", config), ("credentials", credentials)):
        with open(os.path.join(folder, name), "w", encoding="utf-8", opener=_private) as file:
            parser.write(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _user(aws: MotoAws, name: str) -> Keys:
    aws.administer(ACCOUNT, "CreateUser", UserName=name)
    made = aws.administer(ACCOUNT, "CreateAccessKey", UserName=name)
    return Keys(made.findtext(".//AccessKeyId", ""), made.findtext(".//SecretAccessKey", ""))


def _role(aws: MotoAws, role: RoleProfile) -> None:
    path, _, name = f"/{role.role}".rpartition("/")
    trusted = f"arn:aws:iam::{role.trusts}:root" if role.trusts.isdigit() else role.trusts
    statement = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
    aws.administer(
        role.account,
        "CreateRole",
        RoleName=name,
        Path=f"{path}/",
        MaxSessionDuration=str(role.longest_session),
        AssumeRolePolicyDocument=_document(
            [{**statement, "Condition": role.condition} if role.condition else statement]
        ),
    )
    if role.reads_bucket:
        bucket = f"arn:aws:s3:::{BUCKET}"
        may = [
            _allow("s3:ListAllMyBuckets", "*"),
            _allow("s3:ListBucket", bucket),
            _allow("s3:GetObject", f"{bucket}/*"),
        ]
        _permit(aws, "Role", name, may, role.account)


def _permit(aws: MotoAws, sort: str, name: str, statements: list[Document], account: str) -> None:
    """Give a User or Role an inline policy."""
    parameters = {f"{sort}Name": name, "PolicyName": "story", "PolicyDocument": _document(statements)}
    aws.administer(account, f"Put{sort}Policy", **parameters)


def _allow(action: str, resource: str | list[str]) -> Document:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _document(statements: list[Document]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
