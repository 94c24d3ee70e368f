"""What is built and installed, away from the checkout: whatever roled needs when it runs came along."""

import json
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from roled import __version__

ROOT = Path(__file__).parents[1]
SHELLS = ("bash", "zsh", "fish")
PATHS = sysconfig.get_paths()
SHARED = (
    "share/bash-completion/completions/roled",
    "share/fish/vendor_completions.d/roled.fish",
    "share/man/man1/roled.1",
    "share/zsh/site-functions/_roled",
)


@dataclass(frozen=True)
class Installed:
    """A venv into which the wheel was installed, and a person who has nothing else of roled."""

    prefix: Path
    home: Path

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the venv prints."""
        environ = {
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "ROLED_RUNTIME_DIR": str(self.home / "run"),
        }
        command = [f"{self.prefix}/bin/{program}", *arguments]
        return subprocess.check_output(command, env=environ, cwd=self.home, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv")
    pip = [sys.executable, "-m", "pip", "--python", f"{folder}/venv", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], env={}, check=True)
    # Dependencies are found where the tests find theirs, but not the checkout: it is there by a .pth file,
    # which counts only in a venv's own folder.
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{PATHS['purelib']}\n{PATHS['platlib']}\n")
    (folder / "home").mkdir()
    return Installed(folder / "venv", folder / "home")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_wheel_holds_the_hook_as_it_is_in_the_checkout(wheel: Path, shell: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        hook = archive.read(f"roled/shell/hook.{shell}")
    assert hook == (ROOT / "shell" / f"hook.{shell}").read_bytes()


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    assert "roled/py.typed" in contents(wheel)


def test_the_wheel_holds_nothing_but_the_package_and_what_is_shared(wheel: Path) -> None:
    known = (
        "roled/",
        f"roled-{__version__}.dist-info/",
        *(f"roled-{__version__}.data/data/{of}" for of in SHARED),
    )
    assert [name for name in contents(wheel) if not name.startswith(known)] == []


def test_the_sdist_builds_the_same_wheel_as_the_checkout(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, tmp_path, "--sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob(f"roled-{__version__}/")
    assert contents(build(unpacked, tmp_path / "wheel", "--wheel")) == contents(wheel)


def test_what_is_installed_is_not_the_checkout(installed: Installed) -> None:
    found = installed.run("python", "-I", "-c", "import roled; print(roled.__file__)")
    assert found.startswith(str(installed.prefix))


def test_completions_and_the_man_page_are_where_shells_and_man_look(installed: Installed) -> None:
    assert [name for name in SHARED if not (installed.prefix / name).is_file()] == []


def test_the_installed_command_tells_its_version(installed: Installed) -> None:
    assert __version__ in installed.run("roled", "--version")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_installed_hook_asks_through_the_installed_client(installed: Installed, shell: str) -> None:
    hook = installed.run("roled", "hook", shell)
    assert f"{installed.prefix}/bin/python" in hook
    (client,) = installed.prefix.glob("lib/python*/site-packages/roled/edges/client.py")
    assert str(client) in hook


def test_the_installed_daemon_starts_and_reaches_its_store(installed: Installed) -> None:
    installed.run("roled", "start")
    try:
        installed.run("roled", "forget")
        status = json.loads(installed.run("roled", "status", "--json"))
    finally:
        installed.run("roled", "stop")
    assert (status["version"], status["executable"]) == (__version__, f"{installed.prefix}/bin/python")
    assert status["store"]["working"]


def build(source: Path, into: Path, kind: str) -> Path:
    """Build a distribution by what is installed already, without the network."""
    command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", str(into), str(source)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    (built,) = into.glob("roled-*.*")
    return built


def contents(wheel: Path) -> dict[str, int]:
    """The files in a wheel and their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {file.filename: file.CRC for file in archive.infolist()}
