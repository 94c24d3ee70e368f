"""Profiles to chains: tables of config text in, the calls or the error out."""

from configparser import RawConfigParser
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roled.core import profiles
from roled.core.errors import BadProfile, RoledError, UnknownProfile
from roled.core.profiles import Chain, Hop, Reading, StaticKeys, StaticOnly, Sts

FILES = ("/home/me/.aws/config", "/home/me/.aws/credentials")
ROLE = "arn:aws:iam::123456789012:role"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

BASE = {"aws_access_key_id": "AKIABASE", "aws_secret_access_key": SECRET}
TEAM = {"role_arn": f"{ROLE}/Team", "source_profile": "base"}


def sections(text: str) -> dict[str, dict[str, str]]:
    parser = RawConfigParser()
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def reading(config: str = "", credentials: str = "") -> Reading:
    """A reading of two files, in which every section of the first is a profile."""
    return profiles.merged({"profiles": sections(config)}, sections(credentials))


def of(**settings: dict[str, Any]) -> Reading:
    return Reading({"base": BASE, **settings})


def resolve(
    what: Reading, name: str, shell: dict[str, str] | None = None, own_region: str | None = None
) -> Chain | StaticOnly:
    return profiles.resolve(what, name, shell or {}, "default-name", FILES, own_region)


def chain(
    what: Reading, name: str, shell: dict[str, str] | None = None, own_region: str | None = None
) -> Chain:
    found = resolve(what, name, shell, own_region)
    assert isinstance(found, Chain)
    return found


def refused(what: Reading, name: str, shell: dict[str, str] | None = None) -> RoledError:
    with pytest.raises(RoledError) as caught:
        resolve(what, name, shell)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value) + caught.value.hint
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("shell", "profile"),
    [
        ({}, ""),
        ({"AWS_PROFILE": "a"}, "a"),
        ({"AWS_DEFAULT_PROFILE": "b"}, "b"),
        ({"AWS_PROFILE": "a", "AWS_DEFAULT_PROFILE": "b"}, "a"),
        ({"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": "b"}, ""),
    ],
)
def test_the_shell_names_the_profile(shell: dict[str, str], profile: str) -> None:
    assert profiles.effective_profile(shell) == profile


def test_a_role_with_a_source_profile_is_one_hop() -> None:
    assert chain(of(team=TEAM), "team") == Chain(
        "team",
        StaticKeys("base", "AKIABASE", SECRET),
        (Hop(f"{ROLE}/Team", "default-name"),),
        Sts("us-east-1"),
        None,
        FILES,
    )


def test_hops_are_made_from_the_source_to_the_selected_profile() -> None:
    hops = {f"p{n}": {"role_arn": f"{ROLE}/R{n}", "source_profile": f"p{n + 1}"} for n in range(50)}
    found = chain(of(**hops, p50=BASE), "p0")
    assert [hop.role_arn for hop in found.hops] == [f"{ROLE}/R{n}" for n in reversed(range(50))]
    assert found.role_arn == f"{ROLE}/R0"
    assert found.parent.role_arn == f"{ROLE}/R1"


def test_a_chain_without_end_is_cut() -> None:
    hops = {f"p{n}": {"role_arn": f"{ROLE}/R", "source_profile": f"p{n + 1}"} for n in range(200)}
    error = refused(of(**hops, p200=BASE), "p0")
    assert str(error) == "the chain of source profiles behind p0 is longer than 100 roles"
    assert error.hint == "shorten it: it begins p0 -> p1 -> p2 -> p3 -> ..."


def test_every_setting_of_a_hop_is_its_own_profiles() -> None:
    text = f"""
        [base]
        aws_access_key_id = AKIABASE
        aws_secret_access_key = s
        [inner]
        role_arn = {ROLE}/path/Inner
        source_profile = base
        external_id = in:ner/1
        duration_seconds = 43200
        [outer]
        role_arn = {ROLE}/Outer
        source_profile = inner
        role_session_name = me@example.com
        duration_seconds = 900
    """
    assert chain(reading(text), "outer").hops == (
        Hop(f"{ROLE}/path/Inner", "default-name", "in:ner/1", 43200),
        Hop(f"{ROLE}/Outer", "me@example.com", None, 900),
    )


@pytest.mark.parametrize("settings", [BASE, {"region": "eu-west-1"}, {"sso_session": "corp", **BASE}, {}])
def test_a_profile_without_a_role_is_left_to_the_sdk(settings: dict[str, str]) -> None:
    assert resolve(of(plain=settings), "plain") == StaticOnly(
        "plain", has_keys="aws_access_key_id" in settings
    )


def test_the_role_of_the_selected_profile_wins_over_its_keys_and_the_keys_of_a_source_over_its_role() -> None:
    own = {"aws_access_key_id": "AKIAOWN", "aws_secret_access_key": "s"}
    found = chain(of(team={**TEAM, **own, "source_profile": "mid"}, mid={**TEAM, **own}), "team")
    assert found.source.profile == "mid"
    assert len(found.hops) == 1


def test_a_profile_may_be_its_own_source_when_it_has_keys() -> None:
    assert chain(of(team={**TEAM, **BASE, "source_profile": "team"}), "team").source.profile == "team"


def test_the_credentials_file_wins_setting_by_setting() -> None:
    config = f"[team]\nrole_arn = {ROLE}/Old\nsource_profile = base\nregion = eu-west-1\n"
    found = chain(
        reading(
            config, f"[team]\nrole_arn = {ROLE}/New\n[base]\naws_access_key_id=a\naws_secret_access_key=s"
        ),
        "team",
    )
    assert (found.role_arn, found.region) == (f"{ROLE}/New", "eu-west-1")


def test_static_keys_are_never_mixed_from_both_files() -> None:
    """A token of the config file with keys of the credentials file would be nobody's credentials."""
    config = f"""
        [team]
        role_arn = {ROLE}/Team
        source_profile = base
        [base]
        aws_access_key_id = AKIACONFIG
        aws_secret_access_key = config
        aws_session_token = config
    """
    keys = "[base]\naws_access_key_id = AKIACREDENTIALS\naws_secret_access_key = credentials\n"
    assert chain(reading(config, keys), "team").source == StaticKeys("base", "AKIACREDENTIALS", "credentials")
    assert chain(reading(config), "team").source == StaticKeys("base", "AKIACONFIG", "config", "config")
    stray = "[base]\naws_session_token = credentials\n"
    assert chain(reading(config, stray), "team").source.session_token == "config"
    error = refused(reading(config, "[base]\naws_access_key_id = AKIACREDENTIALS\n"), "team")
    assert str(error) == "profile base has half an access key: its aws_secret_access_key is missing"


def test_the_older_name_of_the_token_goes_first() -> None:
    base = {**BASE, "aws_session_token": "new", "aws_security_token": "old"}
    assert chain(of(team=TEAM, base=base), "team").source.session_token == "old"


@pytest.mark.parametrize(
    ("credentials", "supported"),
    [("[base]\naws_access_key_id = a\naws_secret_access_key = s\n", True), ("", False)],
)
def test_keys_of_the_credentials_file_win_over_a_process_and_those_of_the_config_do_not(
    credentials: str,
    supported: bool,  # noqa: FBT001
) -> None:
    base = "[base]\naws_access_key_id = a\naws_secret_access_key = s\ncredential_process = cmd\n"
    both = reading(f"[team]\nrole_arn = {ROLE}/T\nsource_profile = base\n{base}", credentials)
    if supported:
        assert chain(both, "team").source.profile == "base"
    else:
        assert "credential_process" in str(refused(both, "team"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"credential_process": "cmd"}, "credential_process"),
        ({"sso_session": "corp", "sso_account_id": "1", "sso_role_name": "r"}, "SSO"),
        ({"sso_start_url": "https://x", "sso_role_name": "r"}, "SSO"),
        ({"web_identity_token_file": "/t", "role_arn": f"{ROLE}/R"}, "web_identity_token_file"),
        ({"login_session": "arn:x"}, "login_session"),
        ({"role_arn": f"{ROLE}/R", "credential_source": "Environment"}, "credential_source = Environment"),
        ({**TEAM, "mfa_serial": "arn:aws:iam::123456789012:mfa/me"}, "mfa_serial"),
    ],
)
def test_other_sources_are_named_as_not_supported_yet(settings: dict[str, str], named: str) -> None:
    what = of(team={**TEAM, "source_profile": "other"}, other=settings)
    for name in ("team", "other"):
        error = refused(what, name)
        assert isinstance(error, BadProfile)
        assert str(error).startswith("profile other ")
        assert named in str(error)
        assert str(error).endswith("which roled does not support yet")


def test_an_mfa_serial_beside_static_keys_means_nothing_to_the_cli() -> None:
    assert chain(of(team=TEAM, base={**BASE, "mfa_serial": "arn"}), "team").hops


REFUSED: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "a loop": (
        {
            "a": {"role_arn": f"{ROLE}/A", "source_profile": "b"},
            "b": {"role_arn": f"{ROLE}/B", "source_profile": "a"},
        },
        "the source profiles run in a circle: a -> b -> a",
    ),
    "a loop further down": (
        {
            "a": {"role_arn": f"{ROLE}/A", "source_profile": "b"},
            "b": {"role_arn": f"{ROLE}/B", "source_profile": "c"},
            "c": {"role_arn": f"{ROLE}/C", "source_profile": "b"},
        },
        "the source profiles run in a circle: a -> b -> c -> b",
    ),
    "itself without keys": (
        {"a": {**TEAM, "source_profile": "a"}},
        "the source profiles run in a circle: a -> a",
    ),
    "a loop although the first has keys": (
        {"a": {**TEAM, **BASE, "source_profile": "b"}, "b": {**TEAM, "source_profile": "a"}},
        "the source profiles run in a circle: a -> b -> a",
    ),
    "no source at all": (
        {"a": {"role_arn": f"{ROLE}/A"}},
        "profile a has a role_arn, but no source_profile whose keys could assume it",
    ),
    "two sources": (
        {"a": {**TEAM, "credential_source": "Environment"}},
        "profile a has both source_profile and credential_source",
    ),
    "a missing source": (
        {"a": {**TEAM, "source_profile": "bose"}},
        "profile a names the source profile bose, which does not exist",
    ),
    "a source without credentials": (
        {"a": {**TEAM, "source_profile": "b"}, "b": {"region": "eu-west-1"}},
        "the source profile b of profile a has no access key",
    ),
    "a source with half a key": (
        {"a": {**TEAM, "source_profile": "b"}, "b": {"aws_secret_access_key": SECRET}},
        "the source profile b of profile a has no aws_access_key_id",
    ),
    "a user's ARN": (
        {"a": {**TEAM, "role_arn": "arn:aws:iam::123456789012:user/me"}},
        "the role_arn of profile a is not the ARN of a role",
    ),
    "an account cut short": (
        {"a": {**TEAM, "role_arn": "arn:aws:iam::1234:role/R"}},
        "the role_arn of profile a is not the ARN of a role",
    ),
    "an empty role ARN": (
        {"a": {**TEAM, "role_arn": ""}},
        "the role_arn of profile a is not the ARN of a role",
    ),
    "a session name with a blank": (
        {"a": {**TEAM, "role_session_name": "my name"}},
        "role_session_name of profile a has characters or a length that AWS refuses",
    ),
    "an external id of one character": (
        {"a": {**TEAM, "external_id": "x"}},
        "external_id of profile a has characters or a length that AWS refuses",
    ),
    "an empty external id": (
        {"a": {**TEAM, "external_id": ""}},
        "external_id of profile a has characters or a length that AWS refuses",
    ),
    "a duration below the least": (
        {"a": {**TEAM, "duration_seconds": "899"}},
        "profile a asks for duration_seconds = 899, but AWS gives 900 to 43200",
    ),
    "a duration above the most": (
        {"a": {**TEAM, "duration_seconds": "43201"}},
        "profile a asks for duration_seconds = 43201, but AWS gives 900 to 43200",
    ),
    "a long chained session": (
        {"a": {**TEAM, "source_profile": "b", "duration_seconds": "3601"}, "b": TEAM},
        "profile a asks for duration_seconds = 3601, but AWS gives a chained role 3600 at most",
    ),
    "a region that is a host": (
        {"a": {**TEAM, "region": "evil.example.com/"}},
        "region of profile a has characters or a length that AWS refuses",
    ),
    "a block where a value belongs": (
        {"a": {**TEAM, "source_profile": {"x": "y"}}},
        "source_profile of profile a is an indented block and not a value",
    ),
    "an endpoint without a scheme": (
        {"a": {**TEAM, "endpoint_url": "localhost:4566"}},
        "the endpoint URL that profile a has for STS is not a URL",
    ),
    "a made-up endpoint mode": (
        {"a": {**TEAM, "sts_regional_endpoints": "global"}},
        "sts_regional_endpoints of profile a is neither regional nor legacy",
    ),
    "a services section that is missing": (
        {"a": {**TEAM, "services": "mine"}},
        "profile a names the services section mine, which does not exist",
    ),
    "a relative CA bundle": (
        {"a": {**TEAM, "ca_bundle": "ca.pem"}},
        "the CA bundle of profile a is a relative path, which leads elsewhere from every folder",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_profile_that_cannot_work_is_refused_in_one_line(case: str) -> None:
    settings, line = REFUSED[case]
    error = refused(of(**settings), "a")
    assert isinstance(error, BadProfile)
    assert str(error) == line


@pytest.mark.parametrize(
    ("value", "sent"), [("3600", 3600), (" 1800 ", 1800), ("1h", None), ("", None), ("3600.0", None)]
)
def test_a_duration_that_is_no_number_is_dropped_as_in_the_cli(value: str, sent: int | None) -> None:
    assert chain(of(team={**TEAM, "duration_seconds": value}), "team").hops[0].duration_seconds == sent


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("marketingadmn", "did you mean marketingadmin?"),
        ("MarketingAdmin", "did you mean marketingadmin?"),
        ("marketing-admin", "did you mean marketingadmin?"),
        ("finance", "did you mean finance-dev or finance-prod?"),
        ("zzz", "roled profiles lists those that there are"),
        ("lonely", f"{FILES[0]} has [lonely]; it is read as a profile when it says [profile lonely]"),
    ],
)
def test_an_unknown_profile_comes_with_the_nearest_names(name: str, hint: str) -> None:
    known = {"marketingadmin": TEAM, "finance-dev": TEAM, "finance-prod": TEAM, "base": BASE}
    what = Reading(known, strays=frozenset({"lonely"}))
    error = refused(what, name)
    assert isinstance(error, UnknownProfile)
    assert str(error) == f"there is no profile {name} in {FILES[0]}"
    assert error.hint == hint


def test_default_must_exist_like_any_other_profile() -> None:
    assert isinstance(refused(of(), "default"), UnknownProfile)
    hint = "there are no profiles at all: aws configure makes the first"
    assert refused(Reading({}), "default").hint == hint


@pytest.mark.parametrize(
    ("own", "profile", "arn", "region"),
    [
        ("eu-north-1", "eu-west-1", ROLE, "eu-north-1"),
        (None, "eu-west-1", ROLE, "eu-west-1"),
        (None, "", ROLE, "us-east-1"),
        (None, None, ROLE, "us-east-1"),
        (None, None, "arn:aws-cn:iam::123456789012:role", "cn-north-1"),
        (None, None, "arn:aws-us-gov:iam::123456789012:role", "us-gov-west-1"),
    ],
)
def test_the_region_of_sts_is_the_users_then_the_profiles_then_the_partitions(
    own: str | None, profile: str | None, arn: str, region: str
) -> None:
    settings = {**TEAM, "role_arn": f"{arn}/R", **({} if profile is None else {"region": profile})}
    found = chain(of(team=settings), "team", own_region=own)
    assert found.sts.region == region
    assert found.region == (profile or None)


def test_a_region_of_the_shell_that_is_none_is_refused() -> None:
    with pytest.raises(BadProfile, match="AWS_REGION or AWS_DEFAULT_REGION of this shell is no region"):
        resolve(of(team=TEAM), "team", own_region="eu west 1")


GLOBAL, LOCAL, OWN = (
    {"AWS_ENDPOINT_URL": "http://global"},
    {"AWS_ENDPOINT_URL_STS": "http://sts"},
    "http://own",
)
IGNORE = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"}


@pytest.mark.parametrize(
    ("shell", "settings", "endpoint"),
    [
        ({}, {}, None),
        (GLOBAL | LOCAL, {"endpoint_url": OWN, "services": "mine"}, "http://sts"),
        (GLOBAL, {"endpoint_url": OWN, "services": "mine"}, "http://global"),
        (GLOBAL, {"services": "missing"}, "http://global"),
        ({}, {"endpoint_url": OWN, "services": "mine"}, "http://service"),
        ({}, {"endpoint_url": OWN, "services": "none of sts"}, OWN),
        ({"AWS_ENDPOINT_URL_STS": ""}, {"endpoint_url": OWN}, OWN),
        (GLOBAL | IGNORE, {"endpoint_url": OWN}, None),
        (GLOBAL, {"ignore_configured_endpoint_urls": "true"}, None),
        (
            GLOBAL | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
            {"ignore_configured_endpoint_urls": "true"},
            "http://global",
        ),
    ],
)
def test_the_endpoint_follows_botocores_order(
    shell: dict[str, str], settings: dict[str, str], endpoint: str | None
) -> None:
    services = {"mine": {"sts": {"endpoint_url": "http://service"}}, "none of sts": {"s3": {"x": "y"}}}
    what = replace(of(team={**TEAM, **settings}), services=services)
    assert chain(what, "team", shell).sts.endpoint_url == endpoint


def test_endpoint_and_region_of_a_source_profile_do_not_count() -> None:
    sts = {"endpoint_url": OWN, "ca_bundle": "/x", "sts_regional_endpoints": "legacy"}
    base = {**BASE, **sts, "region": "eu-west-1"}
    assert chain(of(team=TEAM, base=base), "team").sts == Sts("us-east-1")


@pytest.mark.parametrize(
    ("shell", "settings", "expected"),
    [
        ({}, {"sts_regional_endpoints": "legacy"}, "legacy"),
        ({"AWS_STS_REGIONAL_ENDPOINTS": "regional"}, {"sts_regional_endpoints": "legacy"}, "regional"),
        ({"AWS_STS_REGIONAL_ENDPOINTS": ""}, {"sts_regional_endpoints": "legacy"}, None),
        ({}, {"sts_regional_endpoints": "legacy", "endpoint_url": OWN}, None),
    ],
)
def test_regional_endpoints_are_the_shells_then_the_profiles(
    shell: dict[str, str], settings: dict[str, str], expected: str | None
) -> None:
    assert chain(of(team={**TEAM, **settings}), "team", shell).sts.regional_endpoints == expected


@pytest.mark.parametrize(
    ("shell", "settings", "expected"),
    [
        ({}, {"ca_bundle": "/profile.pem"}, "/profile.pem"),
        ({"AWS_CA_BUNDLE": "/shell.pem"}, {"ca_bundle": "/profile.pem"}, "/shell.pem"),
        ({"AWS_CA_BUNDLE": ""}, {"ca_bundle": "~/profile.pem"}, "~/profile.pem"),
    ],
)
def test_the_ca_bundle_is_the_shells_then_the_profiles(
    shell: dict[str, str], settings: dict[str, str], expected: str
) -> None:
    assert chain(of(team={**TEAM, **settings}), "team", shell).sts.ca_bundle == expected


def test_a_summary_has_a_row_for_each_profile() -> None:
    what = of(
        team={**TEAM, "region": "eu-west-1"},
        empty={"region": "eu-west-1"},
        process={"credential_process": "cmd"},
        mfa={**TEAM, "mfa_serial": "arn"},
        lost={**TEAM, "source_profile": "nowhere"},
    )
    rows = {row["profile"]: row for row in profiles.summary(what, {}, "default-name", FILES, None)}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "base": "static",
        "team": "role",
        "empty": "other",
        "process": "other",
        "mfa": "other",
        "lost": "broken",
    }
    assert rows["team"] == {
        "profile": "team",
        "kind": "role",
        "account": "123456789012",
        "role_arn": f"{ROLE}/Team",
        "source_profile": "base",
        "region": "eu-west-1",
        "error": None,
        "hint": None,
    }
    assert rows["lost"]["error"] == "profile lost names the source profile nowhere, which does not exist"
    assert rows["lost"]["hint"] == "roled profiles lists those that there are"
    assert SECRET not in repr(rows)


CHAIN = Chain(
    "team",
    StaticKeys("base", "AKIABASE", SECRET, "token"),
    (Hop(f"{ROLE}/A", "me", "id", 900), Hop(f"{ROLE}/B", "me", None, None)),
    Sts("us-east-1", "http://own", "legacy", "/ca"),
    "eu-west-1",
    FILES,
)


def test_the_identity_is_that_of_who_the_credentials_are() -> None:
    """The same role under another profile's name is the same credentials."""
    same = replace(CHAIN, profile="other", region=None, source=replace(CHAIN.source, profile="renamed"))
    assert same.identity == CHAIN.identity
    assert len(CHAIN.identity) == 64


def other(value: Any) -> st.SearchStrategy[Any]:
    wanted = st.integers(900, 43200) if isinstance(value, int) else st.text(max_size=8)
    return (wanted | st.none()).filter(lambda candidate: candidate != value)


@st.composite
def changed_chains(draw: st.DrawFn) -> Chain:
    """CHAIN with one of the things changed that decide who the credentials are, or where they come from."""
    part = draw(st.sampled_from(["source", "hop", "sts", "files", "fewer", "order"]))
    if part == "fewer":
        return CHAIN.parent
    if part == "order":
        return replace(CHAIN, hops=CHAIN.hops[::-1])
    if part == "files":
        return replace(CHAIN, files=(draw(other(FILES[0])), FILES[1]))
    if part == "hop":
        index = draw(st.sampled_from([0, 1]))
        hops = list(CHAIN.hops)
        hops[index] = one_field_changed(draw, hops[index])
        return replace(CHAIN, hops=tuple(hops))
    return replace(CHAIN, **{part: one_field_changed(draw, getattr(CHAIN, part))})


def one_field_changed(draw: st.DrawFn, record: Any) -> Any:
    name = draw(st.sampled_from([name for name in record.__slots__ if name != "profile"]))
    return replace(record, **{name: draw(other(getattr(record, name)))})


@given(changed_chains())
def test_whatever_decides_who_the_credentials_are_changes_the_identity(changed: Chain) -> None:
    assert changed.identity != CHAIN.identity


KEYS = ["aws_access_key_id", "aws_secret_access_key"]
SETTING = st.sampled_from([*KEYS, "role_arn", "source_profile", "credential_source", "mfa_serial"])
VALUE = st.sampled_from([f"{ROLE}/R", "a", "b", "c", "Environment", ""]) | st.dictionaries(
    st.just("x"), st.just("y"), min_size=1
)
ANY_PROFILES = st.dictionaries(st.sampled_from("abc"), st.dictionaries(SETTING, VALUE), max_size=3)


@given(ANY_PROFILES, ANY_PROFILES)
def test_any_config_gives_a_chain_or_an_error_of_ours(
    config: dict[str, dict[str, Any]], credentials: dict[str, dict[str, Any]]
) -> None:
    what = profiles.merged({"profiles": config}, credentials)
    rows = profiles.summary(what, {}, "default-name", FILES, None)
    assert {row["kind"] for row in rows} <= {"role", "static", "other", "broken"}
    assert all(bool(row["error"]) == (row["kind"] == "broken") or row["kind"] == "other" for row in rows)


def test_no_record_shows_a_secret() -> None:
    assert SECRET not in repr(CHAIN)
    assert SECRET not in repr(of())
    assert SECRET not in CHAIN.source.fingerprint
