"""Parsed config -> profiles -> chains -> identity; what changed between two readings.

A *reading* is what the AWS files said at one moment, merged the way the AWS CLI merges them. A *chain* is how one
profile becomes credentials: a source, then hops. Its *identity* is a fingerprint of everything that decides who the
credentials are; credentials are keyed by it and never by a profile's name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Settings = Mapping[str, Any]  # one section: name -> str, or -> {name: str} for a nested block


@dataclass(frozen=True, slots=True)
class Reading:
    """What the files said: sections by name, values as botocore's loader gives them."""

    profiles: Mapping[str, Settings]
    services: Mapping[str, Settings] = field(default_factory=dict)
    sso_sessions: Mapping[str, Settings] = field(default_factory=dict)


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


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
