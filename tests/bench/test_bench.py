"""The benchmark's pieces work. What they tell about time is for people; only what is counted is asserted."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest

from bench import measure, shells, table, tools
from bench.lab import PROFILES, Lab
from bench.sample import Sample

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("shell", shells.SHELLS)
def test_no_cost_an_unchanged_prompt_starts_no_process(lab: Lab, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    with lab.daemon():
        for profile in PROFILES[:2]:
            lab.lease(profile)
        costs = shells.compare(lab, shell, [tools.roled(shell)], rounds=2)
    assert costs["roled"].started == 0


def test_a_process_started_at_each_prompt_is_counted(lab: Lab) -> None:
    starter = tools.Tool("starter", ("echo", "'PROMPT_COMMAND=/bin/true;'", ":"))
    with contextlib.closing(shells.Shell("bash", starter, lab)) as session:
        assert shells.started(session) == 1


def test_one_owner_a_crowd_of_shells_makes_one_call_to_sts(lab: Lab) -> None:
    crowds = measure.crowds(lab, shells=100, rounds=1)
    assert (crowds["cold"].answered, crowds["cold"].sts_calls) == (100, 1)
    assert (crowds["warm"].answered, crowds["warm"].sts_calls) == (100, 0)


def test_first_switches_stand_next_to_what_sts_alone_takes(lab: Lab) -> None:
    switches = measure.first_switch(lab, rounds=1)
    assert switches.keys() == {measure.FIRST, measure.SECOND, measure.STS, measure.COLD_STS}


def test_the_daemon_can_be_weighed_while_it_idles(lab: Lab) -> None:
    held = measure.memory(lab, shells=10, seconds=0.1)
    assert held.rss > 1


def test_the_table_has_straight_columns() -> None:
    row = table.Row("prompt", str(Sample([0.001, 0.0012, 0.0014])), "", "direnv", "5.00 ± 0.10 ms", "0.24")
    heading, line = table.drawn([table.HEADINGS, row]).splitlines()
    assert line.index("1.20 ± 0.10 ms") == heading.index("roled")
    assert line.index("0.24") == heading.index("roled / that")
