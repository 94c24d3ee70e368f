"""The credentials of one profile, without the hook: for eval, for an SDK; and how to drop them."""

import json
import os
from typing import Any

import click

from roled.commands import asking
from roled.commands.completing import profile_names
from roled.commands.hook import SHELLS
from roled.commands.outcome import say
from roled.core import environment, quoting
from roled.core.errors import RoledError


@click.command(short_help="Print a profile's credentials as shell code to eval.")
@click.argument("profile", shell_complete=profile_names)
@click.option("--shell", type=click.Choice(SHELLS), help="Whose syntax to print; by default that of $SHELL.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object of variables; null means unset.")
def env(profile: str, shell: str | None, *, as_json: bool) -> None:
    """Print lines that put the credentials of PROFILE into the shell that evaluates them.

    \b
        eval "$(roled env marketingadmin)"
        roled env marketingadmin --shell fish | source

    They do not renew themselves: a shell with the hook needs only AWS_PROFILE, and always has fresh ones.
    """
    variables = _variables(_credentials(profile))
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(_shell_code(shell or _login_shell(), name, value))


@click.command("credential-process", short_help="Print a profile's credentials as SDKs read them.")
@click.option("--profile", required=True, shell_complete=profile_names, help="Whose credentials.")
def credential_process(profile: str) -> None:
    """Print the credentials of a profile in the JSON that `credential_process` of an AWS config asks for.

    \b
        [profile marketing]
        credential_process = roled credential-process --profile marketingadmin
    """
    credentials = _credentials(profile)
    answer = {
        "Version": 1,
        "AccessKeyId": credentials["access_key_id"],
        "SecretAccessKey": credentials["secret_access_key"],
        "SessionToken": credentials["session_token"],
        "Expiration": credentials["expiration"],
    }
    click.echo(json.dumps(answer))


@click.command(short_help="Drop credentials from memory and keyring.")
@click.argument("profile", required=False, shell_complete=profile_names)
def forget(profile: str | None) -> None:
    """Drop the credentials of PROFILE, or all, from memory, from the keyring and from every shell.

    A shell that still names the profile gets new ones with its next command. AWS can't be told to forget:
    what a running program holds stays valid until it expires.
    """
    fields = {"profile": profile, **asking.shell()} if profile else {}
    answer = asking.structured(asking.ask("forget", fields))
    forgotten = answer["forgotten"]
    whose = f"the credentials of {profile}" if profile else _counted(forgotten)
    say(f"forgot {whose}" if forgotten else f"held no credentials{f' of {profile}' if profile else ''}")
    if answer["store_error"]:
        raise RoledError(
            f"what rests in the keyring is still there: {answer['store_error']}",
            "it ends by itself, within 12 hours; once the keyring works again: roled forget",
        )


def _credentials(profile: str) -> dict[str, Any]:
    fields = {"profile": profile, **asking.shell()}
    credentials: dict[str, Any] = asking.structured(asking.ask("credentials", fields, asking.PATIENT))
    return credentials


def _variables(credentials: dict[str, Any]) -> dict[str, str | None]:
    """Names and values to export, None to unset, as the hook would: a region that the user chose stays."""
    variables = {
        "AWS_ACCESS_KEY_ID": credentials["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": credentials["secret_access_key"],
        "AWS_SESSION_TOKEN": credentials["session_token"],
        "AWS_CREDENTIAL_EXPIRATION": credentials["expiration"],
        "AWS_SECURITY_TOKEN": None,  # an old name of the session token, which some SDKs still prefer
    }
    if not environment.own_region(os.environ):
        variables |= dict.fromkeys(environment.REGIONS, credentials["region"])
    return variables


def _shell_code(shell: str, name: str, value: str | None) -> str:
    """The line that exports `name`, or takes it away."""
    if value is None:
        return f"set -e {name}" if shell == "fish" else f"unset {name}"
    word = quoting.QUOTERS[shell](value)
    return f"set -gx {name} {word}" if shell == "fish" else f"export {name}={word}"


def _login_shell() -> str:
    name = os.path.basename(os.environ.get("SHELL", ""))
    return name if name in SHELLS else "bash"  # sh, dash and ksh read what bash reads


def _counted(number: int) -> str:
    return f"the credentials of {number} {'role' if number == 1 else 'roles'}"
