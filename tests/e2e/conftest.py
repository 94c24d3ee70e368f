"""A machine for each test from end to end, and its shell in each of the three kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import SHELLS, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """The name of a shell: a test that asks for it runs in bash, zsh and fish."""
    return str(request.param)
