"""Keeps leases fresh: the loop, single flight, retries; and answers what shells ask.

All state is touched on one event loop, so there are no locks. Three tables carry it:

- `Leases`: credentials by identity. A *flight* is the one task that gets new ones; whoever needs an identity
  that is not usable joins its flight, and a chain's flight joins that of the chain one hop shorter. A flight
  never raises: what came of it stands in the lease.
- sessions: which shell, by pid, is bound to which identity. Only what a living shell is bound to, or was
  asked for in the last half hour, is renewed.
- stamps: what shells were told, by the name of their stamp. When that would now be told differently (renewed,
  edited config, forgotten) the stamp's file is removed, and its shells ask again at their next check.

Time is AWS's: the wall clock corrected by the Date of STS's last answer. Naps are capped, so a machine that
slept or whose clock jumped is noticed within seconds. The outside comes in through `Edges`.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from roled.configs import Configs, Files, Question
from roled.core import environment, policy, profiles, report
from roled.core.credentials import Credentials, from_answer
from roled.core.errors import AwsUnreachable, BadProfile, BrokenConfig, RoledError
from roled.core.leases import Lease, Leases
from roled.core.profiles import Chain, StaticOnly
from roled.core.protocol import Request, json_line

PROMPT_WAIT = 0.1  # seconds that a prompt may be held; its hook gives up a little later
COMMAND_WAIT = 14.0  # seconds that a command waits for AWS; its hook gives up at 15 s
SOON = 1  # seconds until a shell asks again for what is on its way
HEADCOUNT = 1.0  # seconds between two looks at which shells still live
LATER = 86_400  # seconds until a shell asks again when only a change can matter, which its stamp tells

log = logging.getLogger(__name__)


class Stamps(Protocol):
    def put(self, name: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def clear(self) -> None: ...


class Store(Protocol):
    name: str
    error: str

    async def recall(self, chain: Chain, now: float) -> Credentials | None: ...
    async def remember(self, chain: Chain, credentials: Credentials) -> None: ...
    async def forget(self, identity: str) -> None: ...
    async def forget_all(self) -> None: ...


class Process(Protocol):
    def alive(self) -> bool: ...


@dataclass(frozen=True)
class Edges:
    """What the keeper acts through; `service` passes the real ones."""

    clock: Callable[[], float]
    random: Callable[[], float]
    assume_role: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    store: Store
    stamps: Stamps
    find_process: Callable[[int], Process | None]
    aws_files: Callable[[Mapping[str, str]], Files]


@dataclass
class Session:
    """One attached shell."""

    pid: int
    process: Process
    shell: str
    tty: str
    since: float
    profile: str = ""
    identity: str = ""
    stamp: str = ""


@dataclass(frozen=True)
class Told:
    """What the shells that hold one stamp were told."""

    question: Question
    outcome: str


@dataclass
class Calls:
    """At most so many STS calls at once and per second, over all identities."""

    tokens: float = policy.BURST
    filled_at: float = 0.0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(policy.CONCURRENT_CALLS))

    async def turn(self, now: float) -> None:
        """Wait until another call fits into the rate."""
        self.tokens = policy.allowance(self.tokens, max(0.0, now - self.filled_at)) - 1
        self.filled_at = now
        if self.tokens < 0:
            await asyncio.sleep(-self.tokens / policy.CALLS_PER_SECOND)


class Keeper:
    """Holds the three tables, and answers the verbs of the protocol."""

    def __init__(self, edges: Edges, configs: Configs) -> None:
        self._edges = edges
        self._configs = configs
        self._leases = Leases()
        self._sessions: dict[int, Session] = {}
        self._stamps: dict[str, Told] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._calls = Calls()
        self._poked = asyncio.Event()
        self._skew = 0.0
        self._counted_at = 0.0
        self._nonce = os.urandom(8).hex()
        edges.stamps.clear()

    def poke(self) -> None:
        """Look at everything now: the config changed, or somebody asked."""
        self._poked.set()

    async def run(self) -> None:
        """Renew what falls due, for ever."""
        while True:
            self._poked.clear()
            await self.tick()
            pause = min(policy.NAP, self._leases.next_due(self._wanted()) - self._now())
            try:
                async with asyncio.timeout(max(0.05, pause)):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """One round: let go of shells that ended, look at the config, renew what is due."""
        self._count_shells()
        await self._look_at_config()
        for lease in self._leases.due(self._wanted(), self._now()):
            self._fly(lease)
        self._let_go()

    async def close(self) -> None:
        """Give up on flights; finish what is on its way to the store."""
        flights = set(self._flights.values())
        for flight in flights:
            flight.cancel()
        if self._errands:
            await asyncio.wait(self._errands, timeout=1.5)
        for errand in self._errands:
            errand.cancel()
        if ending := flights | self._errands:
            await asyncio.wait(ending)  # also for the end of children that were just starting

    async def lease(self, request: Request) -> list[str]:
        """What a shell must do now to hold the credentials of the profile that it names."""
        shell = request.fields
        profile = profiles.effective_profile(shell)
        session = self._attach(request)
        switched = session is None or session.profile != profile
        if session:
            session.profile, session.identity, session.stamp = profile, "", ""
        if not profile:
            return _without(shell, _said_of_no_profile(shell))
        question = self._question(profile, shell)
        try:
            chain = await self._configs.resolve(question)
        except RoledError as error:
            return [*_without(shell, error), *self._stamp(session, question)]
        if isinstance(chain, StaticOnly):
            return [*_without(shell), *self._stamp(session, question)]
        if session:
            session.identity = chain.identity
        failure = await self._ensure(chain, waits=request.get("wait") == "1", switched=switched)
        return [
            *self._lease_lines(chain, shell, failure),
            *(self._said_of_config(question) if switched else []),
            *self._stamp(session, question, chain.identity),
        ]

    async def credentials(self, request: Request) -> list[str]:
        """The credentials of a profile, for a command."""
        profile = request.get("profile") or profiles.effective_profile(request.fields)
        chain = await self._configs.resolve(self._question(profile, request.fields))
        if isinstance(chain, StaticOnly):
            raise BadProfile(
                f"profile {profile} names no role, so roled does not manage it",
                "the AWS CLI and SDKs use it as it is",
            )
        error = await self._ensure(chain, waits=True, switched=True)
        credentials = self._leases.alive(chain.identity, self._now())
        if credentials is None:
            raise error or _no_answer()
        return [json_line(report.credentials_row(chain, credentials))]

    async def profiles(self, request: Request) -> list[str]:
        """One row for each profile of the asking shell's config."""
        files = self._edges.aws_files(request.fields)
        return [json_line(await self._configs.summary(request.fields, files))]

    async def forget(self, request: Request) -> list[str]:
        """Drop credentials from memory, store and shells: those of one profile, or all."""
        profile, store = request.get("profile"), self._edges.store
        if profile:
            chain = await self._configs.resolve(self._question(profile, request.fields))
            held = [] if isinstance(chain, StaticOnly) else [chain.identity]
        else:
            held = [lease.chain.identity for lease in self._leases]
        dropped = [identity for identity in held if self._leases.alive(identity, self._now())]
        for identity in held:
            if flight := self._flights.pop(identity, None):
                flight.cancel()
            self._leases.forget(identity)
            self._recall_stamps(identity)
        # Only now, behind what the flights of before may still have sent to the store.
        await (asyncio.gather(*map(store.forget, held)) if profile else store.forget_all())
        return [json_line({"forgotten": len(dropped), "store_error": store.error})]

    def status(self) -> dict[str, Any]:
        """What is held for whom, for `roled status`."""
        now, store = self._now(), self._edges.store
        return {
            "now": now,
            "clock_skew": self._skew,
            "store": {"name": store.name, "working": not store.error, "error": store.error},
            "config": self._configs.rows(),
            # What was never asked for itself is a step on the way to another role.
            "profiles": [self._row(lease, now) for lease in self._leases if lease.asked_at],
            "shells": [
                {
                    "pid": one.pid,
                    "shell": one.shell,
                    "tty": one.tty,
                    "profile": one.profile,
                    "since": one.since,
                }
                for one in self._sessions.values()
            ],
        }

    def _lease_lines(self, chain: Chain, shell: Mapping[str, str], error: RoledError | None) -> list[str]:
        """Credentials if there are any to hand out, else why not, else word that they are on their way."""
        now = self._now()
        credentials = self._leases.alive(chain.identity, now)
        if credentials and (error or policy.usable(credentials, now)):
            return _granted(credentials, chain, shell, now)
        if error:
            return _without(shell, error, until=policy.ASK_AGAIN)
        return [f"until {SOON}"]

    def _said_of_config(self, question: Question) -> list[str]:
        trouble = self._configs.trouble(question.files)
        if trouble is None:
            return []
        return report.say(
            BrokenConfig(str(trouble), "until that is corrected, what the file said before counts")
        )

    async def _ensure(self, chain: Chain, *, waits: bool, switched: bool) -> RoledError | None:
        """Wait, as long as the asker may, until the chain's lease is usable; the error if that failed.

        After a failure only a person's new choice of the profile asks AWS again before the back-off ends.
        """
        now = self._now()
        lease = self._leases.want(chain, now)
        self._poked.set()
        if self._leases.usable(chain.identity, now):
            return None
        if lease.error and now < (lease.failed_at + policy.REFUSAL if switched else lease.retry_at):
            return lease.error
        done, _ = await asyncio.wait({self._fly(lease)}, timeout=COMMAND_WAIT if waits else PROMPT_WAIT)
        return lease.error if done or not waits else _no_answer()

    def _fly(self, lease: Lease) -> asyncio.Task[None]:
        """The flight of a lease: the one under way, or a new one."""
        identity = lease.chain.identity
        if identity not in self._flights:
            self._flights[identity] = asyncio.create_task(self._renew(lease))
        return self._flights[identity]

    async def _renew(self, lease: Lease) -> None:
        """Get new credentials, and see that everyone learns of them; a failure is kept in the lease."""
        chain, told = lease.chain, str(lease.error)
        try:
            found = await self._recalled(lease)
            credentials = found or await self._assume(chain)
            if not lease.record(credentials, self._edges.random()):
                raise AwsUnreachable("AWS answered with a session that ends no later than the one held")
        except RoledError as error:
            self._skew = self._skew if error.skew is None else error.skew
            lease.record_failure(error, self._now(), self._edges.random())
            if str(error) != told:
                log.warning("profile %s: %s", chain.profile, error)
        else:
            how = "taken from the store" if found else "assumed"
            log.info("profile %s: %s %s until %s", chain.profile, how, chain.role_arn, credentials.expiration)
            self._recall_stamps(chain.identity)
            if not found:
                self._run_errand(self._edges.store.remember(chain, credentials))
        finally:
            if self._flights.get(chain.identity) is asyncio.current_task():
                del self._flights[chain.identity]
        self._poked.set()

    async def _recalled(self, lease: Lease) -> Credentials | None:
        """What an earlier daemon left in the store: looked for once, before the first call to AWS."""
        if lease.recalled:
            return None
        lease.recalled = True
        found = await self._edges.store.recall(lease.chain, self._now())
        return found if found and policy.usable(found, self._now()) else None

    async def _assume(self, chain: Chain) -> Credentials:
        """One AssumeRole: the last hop, signed by what the shorter chain gives."""
        keys = await self._signing_keys(chain.parent)
        async with self._calls.gate:
            await self._calls.turn(self._edges.clock())
            answer = await self._edges.assume_role(_assume_request(chain, keys))
        self._skew = float(answer.get("skew") or 0.0)
        return from_answer(answer, chain.role_arn, self._now())

    async def _signing_keys(self, chain: Chain) -> dict[str, str | None]:
        if not chain.hops:
            source = chain.source
            return _keys(source.access_key_id, source.secret_access_key, source.session_token)
        lease = self._leases.want(chain)
        if not self._leases.usable(chain.identity, self._now()):
            await self._fly(lease)
        credentials = self._leases.alive(chain.identity, self._now())
        if credentials is None:
            raise lease.error or _no_answer()
        return _keys(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)

    def _count_shells(self) -> None:
        """Let go of shells that ended. Not in every round: each shell that asks brings one on, and where five
        hundred ask at once, as many times five hundred processes would be looked up.
        """
        now = self._edges.clock()
        if 0 <= now - self._counted_at < HEADCOUNT:
            return
        self._counted_at = now
        for session in [one for one in self._sessions.values() if not one.process.alive()]:
            del self._sessions[session.pid]

    async def _look_at_config(self) -> None:
        """Read what changed on disk; shells that would now be told something else lose their stamp."""
        changed = await self._configs.changed()
        if not changed:
            return
        for name, told in list(self._stamps.items()):
            if told.question.files in changed and self._configs.outcome(told.question) != told.outcome:
                self._remove_stamp(name)
        for lease in self._leases:
            if lease.chain.files in changed:
                lease.forgive()  # what was edited may be what was refused

    def _question(self, profile: str, shell: Mapping[str, str]) -> Question:
        return Question.of(profile, shell, self._edges.aws_files(shell))

    def _attach(self, request: Request) -> Session | None:
        """The session of the asking shell; None for an asker that is no shell, or has ended."""
        number = request.get("pid")
        pid = int(number) if number.isdecimal() and len(number) < 20 else 0
        session = self._sessions.get(pid)
        if session and session.process.alive():
            return session
        process = self._edges.find_process(pid) if pid else None
        if process is None:
            return None
        session = Session(pid, process, request.get("shell"), request.get("tty"), self._edges.clock())
        self._sessions[pid] = session
        return session

    def _wanted(self) -> set[str]:
        """The identities that are worth renewing."""
        since = self._now() - policy.ACTIVE
        attached = {session.identity for session in self._sessions.values() if session.identity}
        return attached | {lease.chain.identity for lease in self._leases if lease.asked_at > since}

    def _let_go(self) -> None:
        """Drop expired leases that nobody wants, and stamps that no shell holds."""
        now, wanted = self._now(), self._wanted()
        for lease in list(self._leases):
            identity = lease.chain.identity
            if (
                identity not in wanted
                and identity not in self._flights
                and not self._leases.alive(identity, now)
            ):
                self._leases.forget(identity)
        held = {session.stamp for session in self._sessions.values()}
        for name in [name for name in self._stamps if name not in held]:
            self._remove_stamp(name)

    def _stamp(self, session: Session | None, question: Question, identity: str = "") -> list[str]:
        """The `stamp` line of an answer. Equal answers share a stamp, so five hundred shells cost one
        file.
        """
        if session is None:
            return []
        outcome = identity or self._configs.outcome(question)
        lease = self._leases.get(identity)
        key = lease.credentials.access_key_id if lease and lease.credentials else ""
        name = hashlib.sha256(
            f"{self._nonce} {question} {outcome} {key}".encode(errors="backslashreplace")
        ).hexdigest()[:32]
        self._stamps[name] = Told(question, outcome)
        self._edges.stamps.put(name)
        session.stamp = name
        return [f"stamp {name}"]

    def _recall_stamps(self, outcome: str) -> None:
        for name in [name for name, told in self._stamps.items() if told.outcome == outcome]:
            self._remove_stamp(name)

    def _remove_stamp(self, name: str) -> None:
        self._stamps.pop(name, None)
        self._edges.stamps.remove(name)

    def _row(self, lease: Lease, now: float) -> dict[str, Any]:
        identity = lease.chain.identity
        shells = sum(session.identity == identity for session in self._sessions.values())
        return report.lease_row(lease, now, shells=shells, flying=identity in self._flights)

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _now(self) -> float:
        return self._edges.clock() + self._skew


def _granted(credentials: Credentials, chain: Chain, shell: Mapping[str, str], now: float) -> list[str]:
    """The lines that hand out credentials: until promise 2 ends or, where they can't be renewed, their real
    end.
    """
    remaining = credentials.remaining(now)
    until = remaining - policy.floor(credentials.lifetime) if policy.usable(credentials, now) else remaining
    return [
        *environment.grant(credentials, chain.profile, chain.region, shell),
        f"expires {int(remaining)}",
        f"until {max(SOON, int(until))}",
    ]


def _without(shell: Mapping[str, str], error: RoledError | None = None, *, until: float = LATER) -> list[str]:
    """The lines that leave a shell with none of roled's variables, and say why."""
    return [*environment.withdraw(shell), *(report.say(error) if error else []), f"until {int(until)}"]


def _said_of_no_profile(shell: Mapping[str, str]) -> RoledError | None:
    if shell.get("AWS_PROFILE") != "":
        return None
    return RoledError("AWS_PROFILE is set but empty, which the AWS CLI and boto3 refuse", "unset AWS_PROFILE")


def _keys(access_key_id: str, secret_access_key: str, session_token: str | None) -> dict[str, str | None]:
    return {
        "access_key_id": access_key_id,
        "secret_access_key": secret_access_key,
        "session_token": session_token,
    }


def _assume_request(chain: Chain, keys: dict[str, str | None]) -> dict[str, Any]:
    """What the sts worker needs to know for the last hop of a chain."""
    hop, sts = chain.hops[-1], chain.sts
    return {
        "op": "assume_role",
        "keys": keys,
        "role_arn": hop.role_arn,
        "session_name": hop.session_name,
        "external_id": hop.external_id,
        "duration_seconds": hop.duration_seconds,
        "region": sts.region,
        "endpoint_url": sts.endpoint_url,
        "regional_endpoints": sts.regional_endpoints,
        "ca_bundle": sts.ca_bundle,
    }


def _no_answer() -> AwsUnreachable:
    return AwsUnreachable("AWS has not answered yet", "roled goes on trying; see: roled status")
