"""The profiles of the AWS config, and which of them roled can serve."""

import json
import os

import click

from roled.commands import asking
from roled.commands.outcome import say
from roled.edges import paths


@click.command(short_help="List the profiles of your AWS config.")
@click.option("--json", "as_json", is_flag=True, help="Print what the daemon answers, as JSON.")
def profiles(*, as_json: bool) -> None:
    """List the profiles of the AWS config that this shell uses: their kind, their role, where it starts from.

    \b
        role    roled assumes it and keeps it fresh
        static  holds its own keys; the SDKs read them without roled
        other   gets its credentials in a way that roled does not know yet
        broken  does not say how to get credentials; what is wrong stands below the list
    """
    answer = asking.structured(asking.ask("profiles", asking.shell()))
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif not answer:
        say(f"there is no profile in {' or '.join(paths.aws_files(os.environ))}", "make one: aws configure")
    else:
        from rich.console import Console

        from roled.commands.drawing import Profiles

        Console(highlight=False).print(Profiles(answer))
