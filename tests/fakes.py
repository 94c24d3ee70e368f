"""The keeper's outside, made of values: a clock that tests move, an STS that remembers, a store of a dict."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from roled.configs import Configs, Files
from roled.core.credentials import Credentials
from roled.core.errors import BrokenConfig, RoledError
from roled.core.profiles import Chain, Reading
from roled.keeper import Edges, Keeper

ACCOUNT = "111122223333"
STATIC = {
    "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
}


def role(name: str, source: str = "base", **settings: str) -> dict[str, str]:
    return {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "source_profile": source, **settings}


PROFILES: dict[str, dict[str, str]] = {
    "base": STATIC,
    "a": role("A", region="eu-west-1"),
    "b": role("B"),
    "chained": role("Far", source="a"),
    "loop": role("L", source="loop"),
}


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sts:
    """Answers with a session of `lifetime` seconds, or with `error`; `gate` holds answers back."""

    clock: Clock
    lifetime: float = 3600
    error: RoledError | None = None
    skew: float = 0.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    async def assume_role(self, request: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(request)
        number = len(self.calls)
        await self.gate.wait()
        if self.error:
            raise self.error
        now = self.clock() + self.skew
        name = request["role_arn"].split("/")[-1]
        return {
            "access_key_id": f"ASIA{number:016d}",
            "secret_access_key": f"{number:040d}",
            "session_token": f"token{number}",
            "issued_at": now,
            "expires_at": now + self.lifetime,
            "assumed_role_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/roled-ann",
            "skew": self.skew,
        }

    @property
    def roles(self) -> list[str]:
        return [call["role_arn"].split("/")[-1] for call in self.calls]


@dataclass
class Store:
    name: str = "a dict"
    error: str = ""
    kept: dict[str, Credentials] = field(default_factory=dict)

    async def recall(self, chain: Chain, now: float) -> Credentials | None:
        return self.kept.get(chain.identity)

    async def remember(self, chain: Chain, credentials: Credentials) -> None:
        self.kept[chain.identity] = credentials

    async def forget(self, identity: str) -> None:
        self.kept.pop(identity, None)

    async def forget_all(self) -> None:
        self.kept.clear()


class Stamps(set[str]):
    def put(self, name: str) -> None:
        self.add(name)

    def remove(self, name: str) -> None:
        self.discard(name)


@dataclass
class Process:
    running: bool = True

    def alive(self) -> bool:
        return self.running


@dataclass
class AwsFiles:
    """The AWS files: what reading them gives, and whether they changed."""

    profiles: dict[str, dict[str, str]]
    version: int = 0
    broken: BrokenConfig | None = None

    def read(self, _: Files) -> Reading:
        if self.broken:
            raise self.broken
        return Reading(profiles=self.profiles, config=self.profiles, credentials={})

    def signature(self, _: Files) -> Hashable:
        return self.version


class World:
    """A keeper and everything around it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sts = Sts(self.clock)
        self.store = Store()
        self.stamps = Stamps()
        self.files = AwsFiles({name: dict(settings) for name, settings in PROFILES.items()})
        self.processes: dict[int, Process] = {}
        self.keeper = self.restarted()

    def restarted(self) -> Keeper:
        """A new daemon on the same machine."""
        configs = Configs(self.files.read, self.files.signature, lambda _: None, "roled-ann")
        edges = Edges(
            clock=self.clock,
            random=lambda: 0.5,
            assume_role=self.sts.assume_role,
            store=self.store,
            stamps=self.stamps,
            find_process=self.processes.get,
            aws_files=lambda _: ("/config", "/credentials"),
        )
        self.keeper = Keeper(edges, configs)
        return self.keeper

    def edit(self, name: str, **settings: str) -> None:
        """Change settings of one profile on disk."""
        self.files.profiles[name] = {**self.files.profiles.get(name, {}), **settings}
        self.files.version += 1
