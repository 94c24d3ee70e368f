"""Faults that a test orders: which kinds there are, and how often each still strikes."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

# What `value` means for each kind.
KINDS = {
    "delay": "seconds to wait before the request is looked at",
    "hang": "no answer at all; the connection stays open",
    "drop": "the connection is closed without an answer",
    "garbage": "status 200 and a body that is no XML",
    "error": "the code of an error with status 400: ExpiredToken, Throttling, ...",
    "status": "the HTTP status of an answer without a body: 500, 503, ...",
    "lifetime": "seconds that the session really lives",
    "answer": "texts to put into the answer, by name: AccessKeyId, SessionToken, Expiration, Arn, ...",
    "clock": "seconds by which this AWS's clock is ahead; strikes every service",
}
INSTEAD = {"hang", "drop", "garbage", "error", "status"}  # those that leave no room for the true answer


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `count` None strikes until cleared; `role` (a name) and `action` narrow it down."""

    kind: str
    value: Any = None
    count: int | None = 1
    action: str = ""
    role: str = ""

    def strikes(self, action: str, role: str) -> bool:
        return self.action in ("", action) and self.role in ("", role)


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        for fault in faults:
            if fault.kind not in KINDS:
                raise ValueError(f"no such fault: {fault.kind} (there are {', '.join(KINDS)})")
        with self._lock:
            self._pending.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def pending(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._pending]

    def take(self, kinds: Iterable[str], action: str = "", role: str = "") -> dict[str, Any]:
        """The values of the faults that strike this request, by kind; each is one blow fewer from now on."""
        struck: dict[str, Any] = {}
        with self._lock:
            for fault in list(self._pending):
                if fault.kind in kinds and fault.kind not in struck and fault.strikes(action, role):
                    struck[fault.kind] = fault.value
                    self._spend(fault)
        return struck

    def _spend(self, fault: Fault) -> None:
        if fault.count is None:
            return
        place = self._pending.index(fault)
        if fault.count > 1:
            self._pending[place] = replace(fault, count=fault.count - 1)
        else:
            del self._pending[place]


def from_json(value: Any) -> list[Fault]:
    """Faults from what a test posted: an object with the fields of Fault, or a list of them."""
    orders = value if isinstance(value, list) else [value]
    if not all(isinstance(order, Mapping) for order in orders):
        raise ValueError("a fault is an object, or a list of objects")
    return [Fault(**order) for order in orders]
