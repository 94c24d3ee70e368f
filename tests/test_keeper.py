"""Keeps leases fresh: the promises, with a clock that jumps and an STS that does as told."""

import asyncio

import pytest

from fakes import Process, World
from roled.core import environment, policy
from roled.core.errors import AssumeRefused, AwsUnreachable, BrokenConfig
from roled.core.protocol import Request

MINUTE = 60
REFUSED = AssumeRefused("user ann may not assume the role", "look at two permissions")
OFFLINE = AwsUnreachable("cannot reach sts.eu-west-1.amazonaws.com")


@pytest.fixture
def world() -> World:
    return World()


class Shell:
    """A shell that asks as the hooks do, and does what it is told."""

    def __init__(self, world: World, pid: int = 100, **variables: str) -> None:
        self.world, self.pid = world, pid
        self.variables = {"HOME": "/home/ann", **variables}
        self.said: list[str] = []
        self.stamp = ""
        self.until = 0
        world.processes.setdefault(pid, Process())

    async def ask(self, profile: str | None = None, *, wait: bool = True) -> "Shell":
        if profile is not None:
            self.variables["AWS_PROFILE"] = profile
        request = {"shell": "zsh", "pid": str(self.pid), "tty": "", "wait": "01"[wait], **self.variables}
        self.said.clear()
        for line in await self.world.keeper.lease(Request("lease", request)):
            verb, _, rest = line.partition(" ")
            self.apply(verb, rest)
        return self

    def apply(self, verb: str, rest: str) -> None:
        match verb:
            case "set":
                name, value = rest.split(" ")
                self.variables[name] = value
            case "unset":
                self.variables.pop(rest, None)
            case "say":
                self.said.append(rest)
            case "stamp":
                self.stamp = rest
            case "until":
                self.until = int(rest)

    @property
    def role(self) -> str | None:
        """The role whose keys the shell holds, as the fake STS numbered them."""
        key = self.variables.get("AWS_ACCESS_KEY_ID", "")
        return self.world.sts.roles[int(key[4:]) - 1] if key else None

    @property
    def must_ask(self) -> bool:
        return self.stamp not in self.world.stamps


async def settle(world: World) -> None:
    """One round of the loop, and what it started."""
    await world.keeper.tick()
    while world.keeper._flights or world.keeper._errands:
        await asyncio.gather(*world.keeper._flights.values(), *world.keeper._errands)
        await asyncio.sleep(0)


async def advance(world: World, seconds: float, step: float = policy.NAP) -> None:
    """Let time pass the way the loop sees it: in naps."""
    end = world.clock.now + seconds
    while world.clock.now < end:
        world.clock.now = min(end, world.clock.now + step)
        await settle(world)


async def test_promise_1_a_shell_holds_the_role_its_profile_names_or_nothing_of_roleds(world: World) -> None:
    shell = Shell(world)
    assert (await shell.ask("a")).role == "A"
    assert (await shell.ask("b")).role == "B"
    for other in ("base", "missing", "loop", ""):
        await shell.ask("a")
        assert (await shell.ask(other)).role is None
        assert environment.MARKER not in shell.variables


async def test_promise_2_over_a_day_no_prompt_sees_less_than_15_minutes(world: World) -> None:
    shell = await Shell(world).ask("a")
    for _ in range(24 * 12):
        await advance(world, 5 * MINUTE)
        if shell.must_ask:
            await shell.ask(wait=False)
        marker = environment.marker_of(shell.variables)
        assert marker
        assert marker.expires_at - world.clock.now >= 15 * MINUTE
    assert 24 < len(world.sts.calls) <= 1 + 24 * 60 / 36  # a one-hour session is renewed after 37 minutes


async def test_promise_3_what_has_expired_is_taken_out_with_the_reason(world: World) -> None:
    shell = await Shell(world).ask("a")
    world.sts.error = OFFLINE
    await advance(world, 61 * MINUTE)
    await shell.ask(wait=False)
    assert shell.role is None
    assert shell.said == [f"roled: {OFFLINE}"]


async def test_promise_4_a_prompt_is_not_held_for_a_renewal(world: World) -> None:
    shell = await Shell(world).ask("a")
    held = shell.variables.copy()
    world.sts.gate.clear()
    world.clock.now += 50 * MINUTE
    asked_at = asyncio.get_running_loop().time()
    await shell.ask(wait=False)
    assert asyncio.get_running_loop().time() - asked_at < 0.15
    assert shell.variables == held
    world.sts.gate.set()
    await settle(world)
    assert shell.must_ask
    assert (await shell.ask(wait=False)).variables != held


async def test_promise_5_five_hundred_shells_make_one_call(world: World) -> None:
    shells = [Shell(world, pid) for pid in range(1000, 1500)]
    await asyncio.gather(*(shell.ask("a") for shell in shells))
    assert world.sts.roles == ["A"]
    assert {shell.role for shell in shells} == {"A"}
    assert len(world.stamps) == 1
    world.clock.now += 40 * MINUTE
    await settle(world)
    await asyncio.gather(*(shell.ask(wait=False) for shell in shells))
    assert world.sts.roles == ["A", "A"]


async def test_in_a_crowd_a_shell_that_asks_does_not_have_all_others_looked_up(world: World) -> None:
    looked_up = []

    class Counted(Process):
        def alive(self) -> bool:
            looked_up.append(self)
            return True

    for pid in range(1000, 1100):
        world.processes[pid] = Counted()
        await Shell(world, pid).ask("a")
        await world.keeper.tick()
    assert len(looked_up) <= 100


async def test_promise_9_the_users_own_region_stays(world: World) -> None:
    shell = await Shell(world, AWS_REGION="ap-south-1").ask("a")
    assert shell.variables["AWS_REGION"] == "ap-south-1"
    assert "AWS_DEFAULT_REGION" not in shell.variables
    assert world.sts.calls[0]["region"] == "ap-south-1"


async def test_promise_10_a_restarted_daemon_serves_from_the_store_without_a_call(world: World) -> None:
    await Shell(world).ask("a")
    await settle(world)
    before = world.keeper
    assert world.restarted() is not before
    assert not world.stamps
    assert (await Shell(world).ask("a")).role == "A"
    assert len(world.sts.calls) == 1


async def test_the_store_is_not_believed_about_sessions_that_end_soon(world: World) -> None:
    await Shell(world).ask("a")
    await settle(world)
    world.clock.now += 50 * MINUTE
    world.restarted()
    await Shell(world).ask("a")
    assert len(world.sts.calls) == 2


async def test_a_chain_signs_each_hop_with_the_one_before(world: World) -> None:
    await Shell(world).ask("chained")
    assert world.sts.roles == ["A", "Far"]
    first, second = world.sts.calls
    assert first["keys"]["access_key_id"] == "AKIAIOSFODNN7EXAMPLE"
    assert second["keys"]["session_token"] == "token1"
    assert [row["profile"] for row in world.keeper.status()["profiles"]] == ["chained"]


async def test_a_failure_keeps_what_is_still_good_to_its_real_end(world: World) -> None:
    shell = await Shell(world).ask("a")
    world.sts.error = OFFLINE
    await advance(world, 55 * MINUTE)
    await shell.ask(wait=False)
    assert (shell.role, shell.said) == ("A", [])
    assert shell.until <= 5 * MINUTE
    assert world.keeper.status()["profiles"][0]["state"] == "failing"


async def test_recovery_reaches_the_shell_by_its_stamp(world: World) -> None:
    shell = Shell(world)
    world.sts.error = OFFLINE
    assert (await shell.ask("a")).said
    world.sts.error = None
    await advance(world, MINUTE)
    assert shell.must_ask
    assert (await shell.ask(wait=False)).role == "A"


async def test_retries_of_a_dead_network_are_few_and_go_on(world: World) -> None:
    world.sts.error = OFFLINE
    await Shell(world).ask("a")
    await advance(world, 60 * MINUTE)
    assert 12 <= len(world.sts.calls) <= 60


async def test_a_refusal_is_not_repeated_in_the_background(world: World) -> None:
    shell = Shell(world)
    world.sts.error = REFUSED
    await shell.ask("a")
    assert shell.said == ["roled: user ann may not assume the role", "       look at two permissions"]
    await advance(world, 60 * MINUTE)
    assert len(world.sts.calls) == 1


async def test_a_refusal_answers_for_five_seconds_and_then_asks_again(world: World) -> None:
    shell = Shell(world)
    world.sts.error = REFUSED
    for _ in range(5):
        await shell.ask("a")
    assert len(world.sts.calls) == 1
    world.clock.now += 6
    world.sts.error = None
    assert (await shell.ask("a")).role == "A"


async def test_a_switch_does_not_wait_for_the_back_off_to_end(world: World) -> None:
    world.sts.error = OFFLINE
    shell = await Shell(world).ask("a")
    await advance(world, 20 * MINUTE)
    world.clock.now += 6
    calls, world.sts.error = len(world.sts.calls), None
    await shell.ask("base")
    assert (await shell.ask("a")).role == "A"
    assert len(world.sts.calls) == calls + 1


async def test_an_edited_role_reaches_every_open_shell(world: World) -> None:
    shells = [await Shell(world, pid).ask("a") for pid in (1, 2, 3)]
    other = await Shell(world, 4).ask("b")
    world.edit("a", role_arn="arn:aws:iam::111122223333:role/Edited")
    await settle(world)
    assert all(shell.must_ask for shell in shells)
    assert not other.must_ask
    assert (await shells[0].ask(wait=False)).role == "Edited"


async def test_an_edit_counts_even_before_the_watcher_noticed(world: World) -> None:
    shell = await Shell(world).ask("a")
    world.edit("a", role_arn="arn:aws:iam::111122223333:role/Edited")
    assert (await shell.ask()).role == "Edited"


async def test_an_edit_that_another_shell_came_upon_first_reaches_every_shell_all_the_same(
    world: World,
) -> None:
    waiting = await Shell(world, 1).ask("a")
    world.edit("a", role_arn="arn:aws:iam::111122223333:role/Edited")
    await Shell(world, 2).ask("b")
    await settle(world)
    assert waiting.must_ask
    assert (await waiting.ask(wait=False)).role == "Edited"


async def test_an_edit_retries_what_was_refused(world: World) -> None:
    world.sts.error = REFUSED
    shell = await Shell(world).ask("a")
    world.sts.error = None
    world.edit("b", region="eu-north-1")
    await settle(world)
    assert shell.must_ask


async def test_a_profile_that_appears_is_noticed(world: World) -> None:
    shell = await Shell(world).ask("new")
    assert shell.said
    world.edit("new", role_arn="arn:aws:iam::111122223333:role/New", source_profile="base")
    await settle(world)
    assert shell.must_ask
    assert (await shell.ask()).role == "New"


async def test_a_broken_config_leaves_the_last_good_reading_in_force(world: World) -> None:
    shell = await Shell(world).ask("a")
    world.files.broken = BrokenConfig("/config, line 7: neither a [section] nor a setting with =")
    world.files.version += 1
    await settle(world)
    assert not shell.must_ask
    assert (await shell.ask("b")).role == "B"
    assert "line 7" in shell.said[0]
    assert (await shell.ask("missing")).said[0].endswith("setting with =")


async def test_a_flight_that_outlives_an_edit_gives_nobody_the_old_role(world: World) -> None:
    world.sts.gate.clear()
    shell = Shell(world)
    asking = asyncio.create_task(shell.ask("a", wait=False))
    await asyncio.sleep(0.01)
    world.edit("a", role_arn="arn:aws:iam::111122223333:role/Edited")
    world.sts.gate.set()
    await asking
    await settle(world)
    assert (await shell.ask()).role == "Edited"


async def test_only_what_a_living_shell_or_a_recent_request_wants_is_renewed(world: World) -> None:
    await Shell(world, 1).ask("a")
    await Shell(world, 2).ask("b")
    world.processes[1].running = False
    await advance(world, 3 * 60 * MINUTE)
    assert world.sts.roles.count("A") == 1
    assert world.sts.roles.count("B") == 5
    assert [row["profile"] for row in world.keeper.status()["profiles"]] == ["b"]


async def test_a_later_process_of_the_same_number_is_another_shell(world: World) -> None:
    await Shell(world, 1).ask("a")
    world.processes[1].running = False
    world.processes[1] = Process()
    assert world.keeper.status()["shells"][0]["profile"] == "a"
    await Shell(world, 1).ask("b")
    assert [shell["profile"] for shell in world.keeper.status()["shells"]] == ["b"]


async def test_time_is_awss_time(world: World) -> None:
    world.sts.skew = 240
    shell = await Shell(world).ask("a")
    marker = environment.marker_of(shell.variables)
    assert marker
    assert marker.expires_at == int(world.clock.now + 240 + 3600)
    assert shell.until == 45 * MINUTE
    assert world.keeper.status()["clock_skew"] == 240


@pytest.mark.parametrize("jump", [3 * 60 * MINUTE, 26 * 60 * MINUTE])
async def test_after_sleep_the_first_round_renews(world: World, jump: float) -> None:
    shell = await Shell(world).ask("a")
    world.clock.now += jump
    await settle(world)
    assert shell.must_ask
    await shell.ask(wait=False)
    assert shell.until >= 40 * MINUTE


async def test_forget_drops_memory_store_and_shells(world: World) -> None:
    shell = await Shell(world).ask("a")
    await settle(world)
    assert await world.keeper.forget(Request("forget", {"profile": "a"})) == [
        'json {"forgotten":1,"store_error":""}'
    ]
    assert not world.store.kept
    assert shell.must_ask
    await shell.ask()
    assert len(world.sts.calls) == 2


async def test_a_flight_that_lands_after_forget_is_kept_by_nobody(world: World) -> None:
    world.sts.gate.clear()
    asking = asyncio.create_task(Shell(world).ask("a", wait=False))
    await asyncio.sleep(0.01)
    await world.keeper.forget(Request("forget", {}))
    world.sts.gate.set()
    await asking
    await settle(world)
    assert not world.store.kept


async def test_at_most_four_calls_at_once_and_five_a_second(world: World) -> None:
    for number in range(16):
        world.files.profiles[f"p{number}"] = {**world.files.profiles["a"], "external_id": f"{number:03}"}
    world.sts.gate.clear()
    shells = [asyncio.create_task(Shell(world, n + 1).ask(f"p{n}")) for n in range(16)]
    await asyncio.sleep(0.05)
    assert len(world.sts.calls) == policy.CONCURRENT_CALLS
    world.sts.gate.set()
    started_at = asyncio.get_running_loop().time()
    await asyncio.gather(*shells)
    assert (
        asyncio.get_running_loop().time() - started_at > (16 - policy.BURST) / policy.CALLS_PER_SECOND - 0.1
    )


@pytest.mark.parametrize("lifetime", [120, 900, 1260, 3600, 43_200])
async def test_every_lifetime_is_renewed_in_time(world: World, lifetime: float) -> None:
    world.sts.lifetime = lifetime
    shell = await Shell(world).ask("a")
    for _ in range(40):
        await advance(world, lifetime / 10, step=min(policy.NAP, lifetime / 50))
        if shell.must_ask:
            await shell.ask(wait=False)
        marker = environment.marker_of(shell.variables)
        assert marker
        assert marker.expires_at - world.clock.now >= policy.floor(lifetime) - 1


async def test_promise_7_status_holds_no_secret(world: World) -> None:
    await Shell(world).ask("a")
    shown = str(world.keeper.status()) + repr(list(world.keeper._leases))
    for secret in ("token1", f"{1:040d}", "wJalrXUtnFEMI"):
        assert secret not in shown
