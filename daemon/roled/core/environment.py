"""Which variables to set, unset and restore for a lease.

A shell's own variables, as its request carries them, decide together with the lease: roled exports a region
only where the user has none, and takes back only what it set itself. The exported marker ROLED_LEASE says
which that is, so that a nested shell or a tmux pane knows it too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from roled.core.credentials import Credentials
from roled.core.protocol import set_line, unset_line

MARKER = "ROLED_LEASE"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True)
class Marker:
    """What of a shell's environment is roled's, whose credentials they are and until when (epoch seconds)."""

    access_key_id: str
    expires_at: int
    region: str
    profile: str

    def __str__(self) -> str:
        return f"{self.access_key_id}:{self.expires_at}:{self.region}:{quote(self.profile, safe='/@+,.-')}"


def marker_of(shell: Mapping[str, str]) -> Marker | None:
    """The marker that the shell inherited or was given; None if there is none to trust."""
    match shell.get(MARKER, "").split(":", 3):
        case [access_key_id, expires_at, region, profile] if access_key_id and expires_at.isdecimal():
            return Marker(access_key_id, int(expires_at), region, unquote(profile))
    return None


def own_region(shell: Mapping[str, str]) -> str | None:
    """The region that the user chose in this shell, as far as roled did not."""
    marker = marker_of(shell)
    ours = marker.region if marker else ""
    return next((region for name in REGIONS if (region := shell.get(name)) and region != ours), None)


def grant(credentials: Credentials, profile: str, region: str | None, shell: Mapping[str, str]) -> list[str]:
    """The lines that put `credentials` of `profile`, and its region where the user has none, into the
    shell.
    """
    exported = region if region and not own_region(shell) else ""
    marker = Marker(credentials.access_key_id, int(credentials.expires_at), exported, profile)
    return [
        set_line("AWS_ACCESS_KEY_ID", credentials.access_key_id),
        set_line("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        set_line("AWS_SESSION_TOKEN", credentials.session_token),
        set_line("AWS_CREDENTIAL_EXPIRATION", credentials.expiration),
        *([set_line(name, exported) for name in REGIONS] if exported else _regions_back(shell)),
        set_line(MARKER, str(marker)),
    ]


def withdraw(shell: Mapping[str, str]) -> list[str]:
    """The lines that take out of the shell what is roled's, and nothing else."""
    marker = marker_of(shell)
    if marker is None:
        return []
    keys = KEYS if shell.get("AWS_ACCESS_KEY_ID") == marker.access_key_id else ()
    return [*map(unset_line, keys), *_regions_back(shell), unset_line(MARKER)]


def _regions_back(shell: Mapping[str, str]) -> list[str]:
    marker = marker_of(shell)
    if marker is None or not marker.region:
        return []
    return [unset_line(name) for name in REGIONS if shell.get(name) == marker.region]
