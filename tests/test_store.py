"""The store: a cache that may be slow, hung or full of rubbish, and costs one short wait at most."""

import asyncio
import json
from typing import Any

import pytest

from fakes import Clock
from roled.core.credentials import Credentials, to_json
from roled.core.errors import WorkerFailed
from roled.core.profiles import Chain, Reading, resolve
from roled.store import BUDGET, REST, Store

NOW = 1_800_000_000.0
ROLE = "arn:aws:iam::111122223333:role/A"
CREDENTIALS = Credentials(
    access_key_id="ASIA0000000000000001",
    secret_access_key="s" * 40,
    session_token="token",
    issued_at=NOW,
    expires_at=NOW + 3600,
    account="111122223333",
    assumed_role_arn="arn:aws:sts::111122223333:assumed-role/A/ann",
)
HUNG = WorkerFailed("the keyring worker gave no answer within 3 s")


def chain() -> Chain:
    base = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "s" * 40}
    config = {"base": base, "a": {"role_arn": ROLE, "source_profile": "base"}}
    reading = Reading(profiles=config, config=config, credentials={})
    found = resolve(reading, "a", {}, "ann", ("/config", "/credentials"), None)
    assert isinstance(found, Chain)
    return found


class Keyring:
    """The keyring worker: answers with its texts, or fails, or holds its answer back."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.name = "a dict"
        self.error: WorkerFailed | None = None
        self.asked: list[str] = []
        self.budgets: set[float] = set()
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.asked.append(request["op"])
        self.budgets.add(seconds)
        self.reached.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        match request["op"]:
            case "remember":
                self.texts[request["identity"]] = request["text"]
            case "recall":
                return {"name": self.name, "text": self.texts.get(request["identity"])}
            case "forget":
                self.texts.pop(request["identity"], None)
            case "forget_all":
                self.texts.clear()
        return {"name": self.name}


@pytest.fixture
def keyring() -> Keyring:
    return Keyring()


@pytest.fixture
def clock() -> Clock:
    return Clock(5.0)


@pytest.fixture
def store(keyring: Keyring, clock: Clock) -> Store:
    return Store(keyring.ask, clock)


async def test_what_was_remembered_is_recalled_until_it_is_forgotten(store: Store, keyring: Keyring) -> None:
    await store.remember(chain(), CREDENTIALS)
    assert await store.recall(chain(), NOW) == CREDENTIALS
    await store.forget(chain().identity)
    assert await store.recall(chain(), NOW) is None
    await store.remember(chain(), CREDENTIALS)
    await store.forget_all()
    assert await store.recall(chain(), NOW) is None
    assert keyring.budgets == {BUDGET}


async def test_the_keyring_that_answers_is_named(store: Store, keyring: Keyring) -> None:
    await store.open()
    assert (store.name, store.error) == ("a dict", "")
    keyring.name = "another"
    await store.recall(chain(), NOW)
    assert store.name == "another"


async def test_a_failure_gives_the_keyring_a_rest(store: Store, keyring: Keyring, clock: Clock) -> None:
    keyring.error = HUNG
    assert await store.recall(chain(), NOW) is None
    await store.remember(chain(), CREDENTIALS)
    assert (keyring.asked, store.error) == (["recall"], str(HUNG))
    clock.now += REST
    keyring.error = None
    await store.remember(chain(), CREDENTIALS)
    assert (keyring.asked, store.error) == (["recall", "remember"], "")


async def test_who_queues_behind_a_hung_keyring_does_not_try_again(store: Store, keyring: Keyring) -> None:
    keyring.gate.clear()
    keyring.error = HUNG
    asking = [asyncio.create_task(store.recall(chain(), NOW)) for _ in range(20)]
    await keyring.reached.wait()
    keyring.gate.set()
    assert await asyncio.gather(*asking) == [None] * 20
    assert keyring.asked == ["recall"]


async def test_forgetting_is_tried_even_while_the_keyring_rests(store: Store, keyring: Keyring) -> None:
    await store.remember(chain(), CREDENTIALS)
    keyring.error = HUNG
    await store.recall(chain(), NOW)
    keyring.error = None
    await store.forget_all()
    assert not keyring.texts


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="deep"),
        "",
        "not JSON",
        "null",
        "7",
        '"text"',
        "[]",
        "{}",
        '{"access_key_id": null}',
        json.dumps(to_json(CREDENTIALS))[:-20],
    ],
)
async def test_rubbish_is_as_good_as_missing(store: Store, keyring: Keyring, text: str) -> None:
    keyring.texts[chain().identity] = text
    assert await store.recall(chain(), NOW) is None
    assert store.error == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"expires_at": NOW},
        {"expires_at": float("inf")},
        {"expires_at": float("nan")},
        {"expires_at": 1e300},
        {"expires_at": 10**400},
        {"expires_at": "tomorrow"},
        {"issued_at": float("-inf")},
        {"issued_at": None},
        {"access_key_id": "$(touch x)"},
        {"secret_access_key": "a b"},
        {"session_token": "a\nb"},
        {"assumed_role_arn": "arn:aws:sts::111122223333:assumed-role/B/ann"},
        {"assumed_role_arn": "arn:aws:sts::444455556666:assumed-role/A/ann"},
    ],
    ids=lambda changed: str(changed)[:40],
)
async def test_what_sts_could_not_have_answered_is_as_good_as_missing(
    store: Store, keyring: Keyring, changed: dict[str, Any]
) -> None:
    keyring.texts[chain().identity] = json.dumps(to_json(CREDENTIALS) | changed)
    assert await store.recall(chain(), NOW) is None
