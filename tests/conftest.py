"""What every test starts from: an environment in which nothing of the machine's AWS set-up can be seen."""

import os
import re

import pytest
from hypothesis import settings

# On a busy machine any example may take its time; nothing here is a measurement.
settings.register_profile("roled", deadline=None)
settings.load_profile("roled")

LEAKS = re.compile(r"AWS_.*|ROLED_.*|BOTO.*|.*_proxy|XDG_.*|DBUS_.*|PYTHON.*|KEYRING_.*", re.IGNORECASE)

for name in [name for name in os.environ if LEAKS.fullmatch(name)]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A HOME of its own: no test reads or writes the files of the person who runs it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
