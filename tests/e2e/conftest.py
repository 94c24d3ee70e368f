"""A machine for each test from end to end, and its shell in each of the three kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import SHELLS, Aws, Machine


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def machine(tmp_path: Path, aws: Aws) -> Iterator[Machine]:
    with Machine(tmp_path, aws) as machine:
        yield machine


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """The name of a shell: a test that asks for it runs in bash, zsh and fish."""
    return str(request.param)
