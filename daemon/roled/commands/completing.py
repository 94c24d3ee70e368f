"""Profile names for completion: the daemon's if it runs, else the files'. Starts nothing, fails silently."""

import contextlib
import os

import click
from click.shell_completion import CompletionItem

from roled.commands import asking
from roled.edges import paths

PATIENCE = 0.5  # seconds; a person waits with a finger on the tab key


def profile_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles whose names begin with what was typed."""
    for source in (_from_daemon, _from_files):
        with contextlib.suppress(Exception):
            return [CompletionItem(name) for name in source() if name.startswith(incomplete)]
    return []


def _from_daemon() -> list[str]:
    answer = asking.structured(asking.ask_running("profiles", asking.shell(), PATIENCE))
    return [profile["profile"] for profile in answer]


def _from_files() -> list[str]:
    from roled.edges import awsconfig  # botocore's reader takes as long as all the rest

    return sorted(awsconfig.read(paths.aws_files(os.environ)).profiles)
