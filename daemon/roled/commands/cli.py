"""The list of commands, each imported only when it is called; click's complaints in roled's words."""

import difflib
import importlib
import os

import click
from click.exceptions import Exit
from click.shell_completion import shell_complete

from roled import __version__
from roled.commands.outcome import UsageError

COMMANDS = {
    "hook": "roled.commands.shells:hook",
    "status": "roled.commands.status:status",
    "profiles": "roled.commands.profiles:profiles",
    "env": "roled.commands.credentials:env",
    "credential-process": "roled.commands.credentials:credential_process",
    "forget": "roled.commands.credentials:forget",
    "start": "roled.commands.lifecycle:start",
    "stop": "roled.commands.lifecycle:stop",
    "restart": "roled.commands.lifecycle:restart",
    "daemon": "roled.commands.lifecycle:daemon",
    "logs": "roled.commands.logs:logs",
    "completion": "roled.commands.shells:completion",
    "demo": "roled.commands.demo:demo",
}
COMPLETION = "_ROLED_COMPLETE"  # set by the completion scripts, which then run `roled` for its suggestions
SETTINGS = {"help_option_names": ["-h", "--help"]}


class Commands(click.Group):
    """The group of all commands, in the order of the list above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks with it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        if ctx.resilient_parsing:  # a line that is only being completed may say anything
            return None
        raise click.UsageError(f"no such command '{cmd_name}'{_nearest(cmd_name)}", ctx)


@click.group(cls=Commands, invoke_without_command=True, context_settings=SETTINGS)
@click.version_option(__version__, message="roled %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Every open terminal always has valid AWS credentials of the role it names.

    Load the hook at the end of your shell's rc file, once; roled hook --help shows how in bash and fish:

        eval "$(roled hook zsh)"

    Then name a profile, and any command has its credentials, for as long as the terminal is open:

        export AWS_PROFILE=marketingadmin
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def dispatch(arguments: list[str]) -> int:
    """Run the command that `arguments` name; its exit code."""
    if instruction := os.environ.get(COMPLETION):
        return shell_complete(cli, {}, "roled", COMPLETION, instruction)
    try:
        with cli.make_context("roled", list(arguments)) as context:
            cli.invoke(context)
    except Exit as end:
        return end.exit_code
    except click.Abort:  # click's word for a Ctrl-C that it saw first
        raise KeyboardInterrupt from None
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "roled"
        raise UsageError(_in_our_words(error), f"how to call it: {where} --help") from error
    return 0


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f": did you mean '{near[0]}'?" if near else ""


def _in_our_words(error: click.UsageError) -> str:
    """`No such option '--x'. Did you mean '--y'?` -> `no such option '--x': did you mean '--y'?`"""
    first, *rest = " ".join(error.format_message().split()).removesuffix(".").split(". ")
    return ": ".join(sentence[:1].lower() + sentence[1:] for sentence in (first, *rest))
