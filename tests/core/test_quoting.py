"""A quoted text reaches the shell as one word, whatever is in it."""

import shutil
import subprocess

import pytest

from roled.core import quoting

NASTY = [
    "",
    "plain",
    "two words",
    "it's",
    '"double"',
    "back\\slash",
    "ends in \\",
    "\\'; touch ran; '",
    "$(touch ran)",
    "`touch ran`",
    "$HOME ${HOME} %s !! ~ * ? [a] {a,b} #",
    "tab\tand\nnewline",
    "-n",
    "ünï ☃",
    "@OTHER@",
]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_reads_back_what_was_quoted(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    words = " ".join(quoting.QUOTERS[shell](text) for text in NASTY)
    printed = subprocess.run(
        [shell, "-c", f"printf '<%s>' {words}"], capture_output=True, text=True, check=True, timeout=20
    )
    assert printed.stdout == "".join(f"<{text}>" for text in NASTY)


def test_each_placeholder_is_filled_once_with_a_quoted_word() -> None:
    template = "folder=@RUNTIME@ mail=me@example.org\n@CLIENT@ @RUNTIME@"
    filled = quoting.render(template, "bash", {"RUNTIME": "/my folder", "CLIENT": "/@RUNTIME@/client.py"})
    assert filled == "folder='/my folder' mail=me@example.org\n/@RUNTIME@/client.py '/my folder'"


def test_an_unknown_placeholder_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        quoting.render("@NOPE@", "zsh", {})
