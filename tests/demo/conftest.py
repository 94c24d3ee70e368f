"""A stand-in for each test, its AWS files in HOME, and boto3 clients that ask it over HTTP."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from roled.demo.standin import StandIn

Client = Callable[..., Any]


@pytest.fixture
def aws() -> Iterator[StandIn]:
    with StandIn() as aws:
        aws.write_files(os.environ["HOME"])
        yield aws


@pytest.fixture
def client(aws: StandIn) -> Iterator[Client]:
    """`client("s3", profile="marketingadmin")`, or with what AssumeRole gave: `client("s3", keys=...)`."""
    made = []

    def make(service: str, profile: str | None = None, keys: dict[str, str] | None = None) -> Any:
        session = boto3.Session(
            profile_name=profile,
            aws_access_key_id=keys and keys["AccessKeyId"],
            aws_secret_access_key=keys and keys["SecretAccessKey"],
            aws_session_token=keys and keys["SessionToken"],
            region_name="us-west-2",
        )
        # One attempt, and nothing judged before it is sent: the stand-in is what is tested.
        config = Config(retries={"total_max_attempts": 1}, read_timeout=2, parameter_validation=False)
        made.append(session.client(service, endpoint_url=aws.endpoint, config=config))
        return made[-1]

    yield make
    for each in made:
        each.close()
