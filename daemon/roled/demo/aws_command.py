"""The few `aws` commands of the story, for machines without an AWS CLI; keys are found as the CLI does it."""

import sys
from typing import Any

import boto3
import botocore.exceptions
import click

USAGE = "usage: aws s3 ls [s3://BUCKET[/PREFIX]] | aws sts get-caller-identity"


def main(words: list[str]) -> int:
    """Run the command that `words` name; the AWS CLI's exit code for how it went."""
    try:
        match words:
            case ["s3", "ls"]:
                lines = [bucket["Name"] for bucket in _client("s3").list_buckets()["Buckets"]]
            case ["s3", "ls", path] if path.startswith("s3://"):
                lines = _listing(path.removeprefix("s3://"))
            case ["sts", "get-caller-identity"]:
                lines = [_client("sts").get_caller_identity()["Arn"]]
            case _:
                click.echo(USAGE, err=True)
                return 252
    except botocore.exceptions.ClientError as error:
        click.echo(f"\n{error}", err=True)
        return 254
    except botocore.exceptions.BotoCoreError as error:
        click.echo(f"\n{error}", err=True)
        return 253
    click.echo("\n".join(lines))
    return 0


def _client(service: str) -> Any:
    return boto3.Session().client(service)


def _listing(path: str) -> list[str]:
    bucket, _, prefix = path.partition("/")
    answer = _client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [
        f"{'PRE':>30} {found['Prefix'].removeprefix(prefix)}" for found in answer.get("CommonPrefixes", ())
    ]
    files = [
        f"{found['LastModified']:%Y-%m-%d %H:%M:%S} {found['Size']:>10} {found['Key'].removeprefix(prefix)}"
        for found in answer.get("Contents", ())
    ]
    return folders + files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
