"""The demo for a person: their own shell in the sandbox, with sessions of two minutes, and what to try."""

import subprocess
from collections.abc import Callable

from roled.demo import sandbox
from roled.demo.accounts import BUCKET
from roled.demo.dialects import Dialect

SESSION = 120  # seconds
WELCOME = """\
This is a HOME of its own with an AWS of its own, both on this machine only and gone when you leave.
You are user1, who may not look into a bucket; the role marketingadminrole may. Sessions live two minutes.

Try:

    {listing}
        denied: that is user1
    {set_profile}
        as on any day; from here on every command has the role
    {listing}
        there it is
    roled status
        who you are and until when; the bar fills again without you
    sleep 120; {listing}
        the first session has expired, and nothing has happened to you
    {set_refused}
        what it looks like when AWS says no
    exit
        the end of the demo
"""


def lead(dialect: Dialect, tell: Callable[[str], None]) -> None:
    """Open the shell and come back when the person has left it."""
    tell("one moment: making a HOME and an AWS for you ...\n")
    with sandbox.opened(SESSION) as found:
        tell(
            WELCOME.format(
                listing=f"aws s3 ls s3://{BUCKET}",
                set_profile=dialect.set_profile.format("marketingadmin"),
                set_refused=dialect.set_profile.format("untrusted"),
            )
        )
        subprocess.run(dialect.command, env=found.environ, cwd=found.home, check=False)
        tell("cleaning up ...")
