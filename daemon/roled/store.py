"""The store as the keeper sees it: a cache behind memory that may be slow, hung or absent, and never holds
anyone up.

Every question goes to the keyring worker with a budget. When one runs over it or fails, the store is left
alone for a while, so that a dead keyring costs one short wait and not one per renewal. What it gives back is
checked as strictly as an answer of STS.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from roled.core.credentials import Credentials, from_json, to_json
from roled.core.errors import RoledError
from roled.core.profiles import Chain

BUDGET = 3.0  # seconds for one question
REST = 300.0  # seconds without questions after one failed

log = logging.getLogger(__name__)

# A request and the seconds for it; the answer, or RoledError.
Ask = Callable[[dict[str, Any], float], Awaitable[dict[str, Any]]]


class Store:
    """Credentials by identity, as JSON texts in the OS keyring."""

    def __init__(self, ask: Ask, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._resting_until = 0.0
        self._turn = asyncio.Lock()
        self.name = "not opened yet"
        self.error = ""

    async def open(self) -> None:
        """Choose the keyring, before the first shell waits for it."""
        await self._try({"op": "open"})

    async def recall(self, chain: Chain, now: float) -> Credentials | None:
        """The stored credentials of a chain, if they are still good."""
        answer = await self._try({"op": "recall", "identity": chain.identity})
        text = answer.get("text") if answer else None
        try:
            return from_json(json.loads(text), chain.role_arn, now) if text else None
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, RoledError):
            return None  # expired or damaged: as good as missing

    async def remember(self, chain: Chain, credentials: Credentials) -> None:
        text = json.dumps(to_json(credentials))
        item = {"identity": chain.identity, "text": text, "expires_at": credentials.expires_at}
        await self._try({"op": "remember", **item})

    async def forget(self, identity: str) -> None:
        await self._try({"op": "forget", "identity": identity}, rests=False)

    async def forget_all(self) -> None:
        await self._try({"op": "forget_all"}, rests=False)

    async def _try(self, request: dict[str, Any], *, rests: bool = True) -> dict[str, Any] | None:
        """The worker's answer, or None when there is none to be had. What must be done does not rest."""
        async with self._turn:  # what waited for its turn behind a failure does not try in its own right
            if rests and self._clock() < self._resting_until:
                return None
            return await self._asked(request)

    async def _asked(self, request: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self._ask(request, BUDGET)
        except RoledError as error:
            self._resting_until = self._clock() + REST
            self.error = str(error)
            log.warning("store: %s; left alone for %d s", error, REST)
            return None
        if answer["name"] != self.name:  # a worker that was started anew may have found another keyring
            self.name = str(answer["name"])
            log.info("store: %s", self.name)
        self.error = ""
        return answer
