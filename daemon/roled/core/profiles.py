"""Parsed config -> profiles -> chains -> identity.

A *reading* is what the AWS files said at one moment, merged the way the AWS CLI merges them. A *chain* is how
one profile becomes credentials: a source, then hops. Its *identity* is a fingerprint of everything that
decides who the credentials are; credentials are keyed by it and never by a profile's name.

Every rule here is botocore's (its AssumeRoleProvider, the order of its profile providers, its look-up of
endpoints), so that roled assumes what `aws --profile NAME` would assume. Two of them surprise:

- The selected profile's role wins over its own static keys; a source profile's static keys win over its role.
- Static keys are taken from one file, never mixed from both, although all other settings are merged.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from roled.core.credentials import ROLE_ARN
from roled.core.errors import BadProfile, RoledError, UnknownProfile

Settings = Mapping[str, Any]  # one section: name -> str, or -> {name: str} for a nested block

MAX_HOPS = 100  # each is a call to STS; far beyond any real chain

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
SHORTEST_SESSION, LONGEST_SESSION, LONGEST_CHAINED_SESSION = 900, 43200, 3600  # seconds

# What botocore accepts: a label of a host name.
REGION = re.compile(r"(?!\d+$)[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]", re.ASCII)
PARTITION_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files said: sections by name, values as botocore's loader gives them.

    `profiles` is merged from both files. `config` and `credentials` hold the profiles of each file by itself,
    because static keys are looked up there; without `config`, `profiles` stands for it. `strays` are sections
    of the config file that nothing reads: [NAME] where [profile NAME] was meant.
    """

    profiles: Mapping[str, Settings] = field(repr=False)
    services: Mapping[str, Settings] = field(default_factory=dict)
    sso_sessions: Mapping[str, Settings] = field(default_factory=dict)
    config: Mapping[str, Settings] | None = field(repr=False, default=None)
    credentials: Mapping[str, Settings] = field(repr=False, default_factory=dict)
    strays: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """A source of a chain: the long-lived access key of `profile`."""

    profile: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False, default=None)

    @property
    def fingerprint(self) -> str:
        """Changes when the keys do, and gives none of them away."""
        return _digest(["static", self.access_key_id, self.secret_access_key, self.session_token])


@dataclass(frozen=True, slots=True)
class Hop:
    """One AssumeRole."""

    role_arn: str
    session_name: str
    external_id: str | None = None
    duration_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Sts:
    """Where the chain's STS calls go. As in botocore, the selected profile decides it for every hop."""

    region: str
    endpoint_url: str | None = None
    regional_endpoints: str | None = None  # "regional", "legacy", or None for botocore's default
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """How one profile becomes credentials; `region` is what the profile says, for the shell."""

    profile: str
    source: StaticKeys
    hops: tuple[Hop, ...]
    sts: Sts
    region: str | None = None
    files: tuple[str, str] = ("", "")

    @property
    def role_arn(self) -> str:
        return self.hops[-1].role_arn

    @property
    def parent(self) -> "Chain":
        """The same chain one hop shorter: whose credentials sign the last AssumeRole."""
        return replace(self, hops=self.hops[:-1])

    @property
    def identity(self) -> str:
        """The fingerprint that credentials are keyed by: 64 hex digits."""
        hops = [[hop.role_arn, hop.session_name, hop.external_id, hop.duration_seconds] for hop in self.hops]
        sts = [self.sts.region, self.sts.endpoint_url, self.sts.regional_endpoints, self.sts.ca_bundle]
        return _digest([self.source.fingerprint, hops, sts, list(self.files)])


@dataclass(frozen=True, slots=True)
class StaticOnly:
    """A profile that roled leaves to the SDK: static keys and no role, or no word about credentials."""

    profile: str
    has_keys: bool


class UnsupportedSource(BadProfile):
    """The SDKs can use this profile, roled cannot yet."""


def merged(config: Mapping[str, Any], credentials: Mapping[str, Settings]) -> Reading:
    """The reading of both files, merged as `botocore.session.Session.full_config` does it.

    `config` is what `botocore.configloader.build_profile_map` made of the config file, `credentials` the
    plain sections of the credentials file: there a name needs no `profile` before it, and its values win.
    """
    own = config.get("profiles", {})
    names = {**own, **credentials}
    return Reading(
        profiles={name: {**own.get(name, {}), **credentials.get(name, {})} for name in names},
        services=config.get("services", {}),
        sso_sessions=config.get("sso_sessions", {}),
        config=own,
        credentials=credentials,
        strays=frozenset(config) - {"profiles", "services", "sso_sessions"},
    )


def effective_profile(shell: Mapping[str, str]) -> str:
    """The profile that a shell with these variables names; '' if none, as an empty AWS_PROFILE says too."""
    return shell.get("AWS_PROFILE", shell.get("AWS_DEFAULT_PROFILE", ""))


def resolve(  # noqa: PLR0913, PLR0917  each is one thing that decides
    reading: Reading,
    name: str,
    shell: Mapping[str, str],
    session_name: str,
    files: tuple[str, str],
    own_region: str | None,
) -> Chain | StaticOnly:
    """How profile `name` becomes credentials for a shell with these variables.

    `session_name` is for the hops whose profile names none, `files` are where the reading came from,
    `own_region` is the region that the user (and not roled) set in the shell.

    Raises UnknownProfile or BadProfile.
    """
    if name not in reading.profiles:
        raise _unknown(reading, name, files)
    if not _assumes_role(reading.profiles[name]):
        return StaticOnly(name, _source(reading, name) is not None)
    source, hops = _hops(reading, name, session_name)
    region = _region(reading, name)
    sts = _sts(reading, name, shell, own_region or region or _home_region(hops[-1]))
    return Chain(name, source, hops, sts, region, files)


def summary(
    reading: Reading,
    shell: Mapping[str, str],
    session_name: str,
    files: tuple[str, str],
    own_region: str | None,
) -> list[dict[str, str | None]]:
    """One row for each profile: what it is, or what is wrong with it.

    `kind` is `role`, `static` (the SDK reads its keys itself), `other` (a source that roled does not support,
    or no word about credentials) or `broken`.
    """
    return [_row(reading, name, shell, session_name, files, own_region) for name in reading.profiles]


def _row(  # noqa: PLR0913, PLR0917  as resolve
    reading: Reading,
    name: str,
    shell: Mapping[str, str],
    session_name: str,
    files: tuple[str, str],
    own_region: str | None,
) -> dict[str, str | None]:
    settings = reading.profiles[name]
    shown = {key: _plain(settings.get(key)) for key in ("role_arn", "source_profile", "region")}
    role = ROLE_ARN.fullmatch(shown["role_arn"] or "")
    account = role[2] if role else None
    row = {"profile": name, "kind": "role", "account": account, **shown, "error": None, "hint": None}
    try:
        resolved = resolve(reading, name, shell, session_name, files, own_region)
    except RoledError as error:
        kind = "other" if isinstance(error, UnsupportedSource) else "broken"
        return {**row, "kind": kind, "error": str(error), "hint": error.hint}
    if isinstance(resolved, StaticOnly):
        return {**row, "kind": "static" if resolved.has_keys else "other"}
    return row


def _hops(reading: Reading, name: str, session_name: str) -> tuple[StaticKeys, tuple[Hop, ...]]:
    """The source of `name` and its hops in the order of the calls."""
    path, hops = [name], [_hop(reading, name, session_name)]
    while len(hops) <= MAX_HOPS:
        source = _source_profile(reading, path)
        path.append(source)
        if _has_static_keys(reading.profiles[source]) or not _assumes_role(reading.profiles[source]):
            return _source(reading, source) or _no_source(reading, path), tuple(reversed(hops))
        _check_chained(path[-2], hops[-1], source)
        hops.append(_hop(reading, source, session_name))
    raise BadProfile(
        f"the chain of source profiles behind {name} is longer than {MAX_HOPS} roles",
        f"shorten it: it begins {' -> '.join(path[:4])} -> ...",
    )


def _check_chained(name: str, hop: Hop, source: str) -> None:
    if (hop.duration_seconds or 0) > LONGEST_CHAINED_SESSION:
        raise BadProfile(
            f"profile {name} asks for duration_seconds = {hop.duration_seconds}, "
            f"but AWS gives a chained role {LONGEST_CHAINED_SESSION} at most",
            f"its source profile {source} is a role too: lower it, or take it out of [profile {name}]",
        )


def _hop(reading: Reading, name: str, session_name: str) -> Hop:
    settings = reading.profiles[name]
    role_arn = _text(settings, name, "role_arn") or ""
    if not ROLE_ARN.fullmatch(role_arn):
        raise BadProfile(
            f"the role_arn of profile {name} is not the ARN of a role",
            "it should look like arn:aws:iam::123456789012:role/NAME",
        )
    if _text(settings, name, "mfa_serial") is not None:
        raise _unsupported(name, "asks for an MFA code (mfa_serial)")
    return Hop(
        role_arn,
        _matching(settings, name, "role_session_name", SESSION_NAME, "2 to 64 of A-Z a-z 0-9 _ + = , . @ -")
        or session_name,
        _matching(settings, name, "external_id", EXTERNAL_ID, "2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -"),
        _duration(settings, name),
    )


def _duration(settings: Settings, name: str) -> int | None:
    try:
        duration = int(_text(settings, name, "duration_seconds") or "")
    except ValueError:
        return None  # as botocore does: what is no number is as good as not there
    if not SHORTEST_SESSION <= duration <= LONGEST_SESSION:
        raise BadProfile(
            f"profile {name} asks for duration_seconds = {duration}, "
            f"but AWS gives {SHORTEST_SESSION} to {LONGEST_SESSION}",
            f"change it, or take it out of [profile {name}]",
        )
    return duration


def _source_profile(reading: Reading, path: Sequence[str]) -> str:
    """The source profile of the last profile of `path`, once it is sure that it exists and closes no loop."""
    name = path[-1]
    settings = reading.profiles[name]
    source = _text(settings, name, "source_profile")
    credential_source = _text(settings, name, "credential_source")
    if source is not None and credential_source is not None:
        raise BadProfile(
            f"profile {name} has both source_profile and credential_source", "keep the one that is meant"
        )
    if credential_source is not None:
        raise _unsupported(name, f"takes its credentials from credential_source = {credential_source}")
    if source is None:
        raise BadProfile(
            f"profile {name} has a role_arn, but no source_profile whose keys could assume it",
            f"add source_profile = NAME to [profile {name}], NAME being the profile with your access key",
        )
    if source not in reading.profiles:
        raise BadProfile(
            f"profile {name} names the source profile {source}, which does not exist", _near(reading, source)
        )
    # A profile may name itself to say that its own keys assume its role.
    if source in path and not (source == name and _has_static_keys(settings)):
        raise BadProfile(
            f"the source profiles run in a circle: {' -> '.join((*path, source))}",
            "let one of them name a profile with an access key as its source_profile",
        )
    return source


def _source(reading: Reading, name: str) -> StaticKeys | None:
    """The credentials that profile `name` has without assuming a role, sources tried in botocore's order."""
    settings = reading.profiles[name]
    config = reading.profiles if reading.config is None else reading.config
    if settings.get("web_identity_token_file"):
        raise _unsupported(name, "takes its credentials from a web identity (web_identity_token_file)")
    if "sso_account_id" in settings or "sso_role_name" in settings:
        raise _unsupported(name, "takes its credentials from SSO (sso_session, sso_account_id, ...)")
    if "aws_access_key_id" in reading.credentials.get(name, {}):
        return _static_keys(reading.credentials[name], name)
    if "login_session" in settings:
        raise _unsupported(name, "takes its credentials from aws login (login_session)")
    if "credential_process" in settings:
        raise _unsupported(name, "takes its credentials from a process (credential_process)")
    if "aws_access_key_id" in config.get(name, {}):
        return _static_keys(config[name], name)
    return None


def _static_keys(section: Settings, name: str) -> StaticKeys:
    """The keys of one section of one file."""
    access_key_id = _text(section, name, "aws_access_key_id")
    secret = _text(section, name, "aws_secret_access_key")
    if not access_key_id or not secret:
        empty = "aws_secret_access_key" if access_key_id else "aws_access_key_id"
        raise BadProfile(
            f"profile {name} has half an access key: its {empty} is missing",
            "both halves belong into the same section of the same file",
        )
    token = "aws_security_token" if "aws_security_token" in section else "aws_session_token"
    return StaticKeys(name, access_key_id, secret, _text(section, name, token) or None)


def _no_source(reading: Reading, path: Sequence[str]) -> StaticKeys:
    missing = "aws_access_key_id" if _has_static_keys(reading.profiles[path[-1]]) else "access key"
    raise BadProfile(
        f"the source profile {path[-1]} of profile {path[-2]} has no {missing}",
        f"add aws_access_key_id and aws_secret_access_key to {path[-1]}, or name another source_profile",
    )


def _assumes_role(settings: Settings) -> bool:
    # With a token file the role is assumed by web identity, which is a source and no hop.
    return "role_arn" in settings and "web_identity_token_file" not in settings


def _has_static_keys(settings: Settings) -> bool:
    return "aws_access_key_id" in settings or "aws_secret_access_key" in settings


def _sts(reading: Reading, name: str, shell: Mapping[str, str], region: str) -> Sts:
    settings = reading.profiles[name]
    if not REGION.fullmatch(region):
        raise BadProfile(
            "the AWS_REGION or AWS_DEFAULT_REGION of this shell is no region",
            "set it to a name like eu-west-1, or unset it",
        )
    endpoint_url = _endpoint_url(reading, name, shell)
    regional_endpoints = None if endpoint_url else _regional_endpoints(settings, name, shell)
    return Sts(region, endpoint_url, regional_endpoints, _ca_bundle(settings, name, shell))


def _region(reading: Reading, name: str) -> str | None:
    settings = reading.profiles[name]
    return (
        _matching(settings, name, "region", REGION, "a name like eu-west-1")
        if settings.get("region")
        else None
    )


def _home_region(hop: Hop) -> str:
    return PARTITION_REGIONS.get(hop.role_arn.split(":")[1], PARTITION_REGIONS["aws"])


def _endpoint_url(reading: Reading, name: str, shell: Mapping[str, str]) -> str | None:
    """The first in botocore's order that is not empty: variables, the services section, the profile."""
    settings = reading.profiles[name]
    ignored = _text(settings, name, "ignore_configured_endpoint_urls") or ""
    if shell.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", ignored).lower() == "true":
        return None
    url = (
        shell.get("AWS_ENDPOINT_URL_STS")
        or shell.get("AWS_ENDPOINT_URL")
        or _service_endpoint_url(reading, name)
        or _text(settings, name, "endpoint_url")
    )
    if url and not _is_url(url):
        raise BadProfile(
            f"the endpoint URL that profile {name} has for STS is not a URL",
            "look at AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL, and at endpoint_url in the config file",
        )
    return url or None


def _service_endpoint_url(reading: Reading, name: str) -> str | None:
    section = _text(reading.profiles[name], name, "services")
    if section is None:
        return None
    services = reading.services.get(section)
    if services is None:
        raise BadProfile(
            f"profile {name} names the services section {section}, which does not exist",
            f"add [services {section}] to the config file, or take services out of [profile {name}]",
        )
    sts = services.get("sts", {})
    if not isinstance(sts, Mapping):
        raise BadProfile(
            f"sts in the services section {section} is a value and not an indented block",
            "it should be `sts =`, then on an indented line `endpoint_url = ...`",
        )
    return _text(sts, name, "endpoint_url")


def _regional_endpoints(settings: Settings, name: str, shell: Mapping[str, str]) -> str | None:
    value = shell.get("AWS_STS_REGIONAL_ENDPOINTS", _text(settings, name, "sts_regional_endpoints")) or None
    if value not in (None, "regional", "legacy"):
        raise BadProfile(
            f"sts_regional_endpoints of profile {name} is neither regional nor legacy",
            "look at AWS_STS_REGIONAL_ENDPOINTS too",
        )
    return value


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def _ca_bundle(settings: Settings, name: str, shell: Mapping[str, str]) -> str | None:
    path = shell.get("AWS_CA_BUNDLE") or _text(settings, name, "ca_bundle")
    if path and not path.startswith(("/", "~")):
        raise BadProfile(
            f"the CA bundle of profile {name} is a relative path, which leads elsewhere from every folder",
            "make it absolute: look at AWS_CA_BUNDLE, and at ca_bundle in the config file",
        )
    return path or None


def _text(settings: Settings, name: str, key: str) -> str | None:
    """A setting's value, which must not be an indented block."""
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise BadProfile(
            f"{key} of profile {name} is an indented block and not a value", "write it on one line"
        )
    return value


def _matching(settings: Settings, name: str, key: str, shape: re.Pattern[str], wanted: str) -> str | None:
    value = _text(settings, name, key)
    if value is not None and not shape.fullmatch(value):
        raise BadProfile(
            f"{key} of profile {name} has characters or a length that AWS refuses", f"it takes {wanted}"
        )
    return value


def _plain(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _unsupported(name: str, what: str) -> UnsupportedSource:
    return UnsupportedSource(
        f"profile {name} {what}, which roled does not support yet",
        "the AWS CLI and the SDKs read this profile themselves, as without roled",
    )


def _unknown(reading: Reading, name: str, files: tuple[str, str]) -> UnknownProfile:
    if name in reading.strays:
        hint = f"{files[0]} has [{name}]; it is read as a profile when it says [profile {name}]"
    elif reading.profiles:
        hint = _near(reading, name)
    else:
        hint = "there are no profiles at all: aws configure makes the first"
    return UnknownProfile(
        f"there is no profile {name} in {files[0]}" if name else "no profile is named", hint
    )


def _near(reading: Reading, name: str) -> str:
    """The profiles whose names come nearest, as a hint."""
    names = {known.casefold(): known for known in reading.profiles}
    near = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(names[known] for known in near)}?"
    return "roled profiles lists those that there are"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
