"""What can go wrong, in the user's words."""

from typing import ClassVar


class RoledError(Exception):
    """Something the user should read: `str(error)` is one line, `hint` is what to do next.

    `code` names the situation on the wire and in `--json`; `exit_code` is what a command ends with.
    A `recoverable` error may go away by itself, so the daemon tries again in the background.
    `skew` is AWS's clock minus ours in seconds, where AWS's answer told it.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    recoverable: ClassVar[bool] = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.skew: float | None = None


class UnknownProfile(RoledError):
    """The config has no such profile, so every SDK would fail even with good keys."""

    code = "unknown-profile"


class BrokenConfig(RoledError):
    """An AWS config or credentials file cannot be read or parsed."""

    code = "broken-config"


class BadProfile(RoledError):
    """A profile is there, but does not say how to get credentials: loop, missing source, bad role ARN, ..."""

    code = "bad-profile"


class AssumeRefused(RoledError):
    """STS answered and said no; asking again without a change gives the same answer."""

    code = "refused"


class SourceRefused(AssumeRefused):
    """STS does not know the keys that the chain starts from: disabled, deleted, expired or mistyped."""

    code = "source-refused"


class AwsUnreachable(RoledError):
    """No usable answer from STS: no network, a time-out, a 5xx, throttling."""

    code = "unreachable"
    recoverable = True


class BadAnswer(RoledError):
    """STS answered something that must not reach a shell: odd characters, another role, already expired."""

    code = "bad-answer"
    recoverable = True


class ClockWrong(RoledError):
    """The clock of this machine is so far off that AWS refuses what it signs."""

    code = "clock-wrong"
    recoverable = True


class WorkerFailed(RoledError):
    """A child process of the daemon died, hung or could not be started."""

    code = "worker"
    recoverable = True


class BadRequest(RoledError):
    """A line that does not follow the protocol."""

    code = "bad-request"
    exit_code = 2


class DaemonUnreachable(RoledError):
    """The daemon does not answer and could not be started."""

    code = "daemon"
    exit_code = 4


ERRORS = {
    kind.code: kind
    for kind in (
        RoledError,
        UnknownProfile,
        BrokenConfig,
        BadProfile,
        AssumeRefused,
        SourceRefused,
        AwsUnreachable,
        BadAnswer,
        ClockWrong,
        WorkerFailed,
        BadRequest,
        DaemonUnreachable,
    )
}


def from_code(code: str, message: str, hint: str = "") -> RoledError:
    """The error that travelled as `code`, on the wire or through a worker's pipe."""
    return ERRORS.get(code, RoledError)(message, hint)
