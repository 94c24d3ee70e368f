"""What a shell's rc file reads: the hook, and the completion of roled's own words."""

import click
from click.shell_completion import get_completion_class

from roled.commands import cli
from roled.commands.hook import SHELLS, show


@click.command(short_help="Print the hook that keeps a shell's credentials fresh.")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def hook(shell: str) -> None:
    """Print the hook for SHELL: bash, zsh or fish.

    Load it at the end of the shell's rc file:

    \b
        bash   eval "$(roled hook bash)"
        zsh    eval "$(roled hook zsh)"
        fish   roled hook fish | source
    """
    show(shell)


@click.command(short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script that completes roled's commands and your profiles in SHELL: bash, zsh or fish.

    Packages and pip install these scripts where shells look for them. Elsewhere, load them in the rc file:

    \b
        bash   eval "$(roled completion bash)"
        zsh    eval "$(roled completion zsh)"
        fish   roled completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click can't complete in {shell}")
    click.echo(kind(cli.cli, {}, "roled", cli.COMPLETION).source(), nl=False)
