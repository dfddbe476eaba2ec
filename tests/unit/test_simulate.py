import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.simulate import simulate
from pipeline.core.errors import ConfigError
from pipeline.core.event_time import EventTime, parse_event_time
from pipeline.simulate.cases import ALERTING, CASES, QUIET, name_of
from pipeline.simulate.delivery import Arrival, Delivery, Kind
from pipeline.simulate.dice import dice
from pipeline.simulate.document import FILES, expectation_of
from pipeline.simulate.envelopes import LARGEST_VALUE, pack
from pipeline.simulate.expected import (
    AFTER,
    BEFORE,
    GRAPH_SPAN,
    ExpectedAlert,
    Ledger,
    Mode,
    PlantedAssignment,
    PlantedBehavior,
    PlantedRequest,
    PlantedRisk,
)
from pipeline.simulate.moments import HOUR, TICK, later, short_form, us_form
from pipeline.simulate.output import Pace, send, write_files
from pipeline.simulate.simulation import Plan, Simulation, generate
from pipeline.simulate.story import tell

SMALL = Plan(seed=7, tenants=5, audit_events=2_000)
NOON = parse_event_time("2026-03-04T12:00:00Z") or EventTime(0)
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"

ASSIGNMENT = PlantedAssignment(
    tenant_id="t1",
    audit_event_id="a1",
    label="by hand",
    times=(NOON,),
    handles=frozenset({"dana@example.org", "o1"}),
    joins="Dana@example.org",
    is_delegated_admin=False,
    split_signals=False,
    correlation_id="c1",
    identities=("Dana@example.org",),
    object_ids=("o1",),
)
RISK = PlantedRisk("t1", NOON, frozenset({"o1"}), "Dana@example.org", "Medium")
BEHAVIOR = PlantedBehavior("t1", NOON, frozenset({"dana@example.org"}), "dana", "b1", "Travel")
REQUEST = PlantedRequest("t1", NOON, "c1", "192.0.2.1", is_app_management=True)


@pytest.fixture(scope="module")
def small() -> tuple[Simulation, list[Arrival]]:
    simulation = generate(replace(SMALL, malformed=24))
    return simulation, list(simulation)


def records_of(value: bytes) -> Iterator[dict[str, object]]:
    """Take a good value apart, by a reading of our own."""
    for line in value.split(b"\n"):
        document = orjson.loads(line)
        for element in document if isinstance(document, list) else [document]:
            yield from element.get("records", [element])


def good_records(simulation: Simulation, arrivals: list[Arrival]) -> list[dict[str, object]]:
    bad = {(one.kind, one.ordinal) for one in simulation.dead_letters}
    ordinals: Counter[Kind] = Counter()
    records: list[dict[str, object]] = []
    for kind, value, _ in arrivals:
        if (kind, ordinals[kind]) not in bad:
            records.extend(records_of(value))
        ordinals[kind] += 1
    return records


def alert_of(ledger: Ledger, mode: Mode = Mode.REPAIRED) -> ExpectedAlert | None:
    return ledger.alerts(mode).get("t1", {}).get("a1")


def test_the_same_seed_gives_the_same_bytes_and_the_same_alerts() -> None:
    one, other = generate(SMALL), generate(SMALL)

    assert list(one) == list(other)
    assert one.expected() == other.expected()


def test_a_second_pass_gives_the_same_values() -> None:
    simulation = generate(SMALL)

    assert list(simulation) == list(simulation)


def test_another_seed_gives_other_tenants() -> None:
    one, other = generate(SMALL), generate(replace(SMALL, seed=8))

    assert not {tenant.id for tenant in one.tenants} & {tenant.id for tenant in other.tenants}


def test_every_case_is_planted_even_in_a_small_simulation() -> None:
    labels = set(generate(replace(SMALL, audit_events=100)).labels.values())

    assert {name_of(case) for case in CASES if case.__name__ != "_no_assignment"} <= labels


def test_what_a_case_says_of_itself_is_what_is_expected() -> None:
    simulation = generate(replace(SMALL, audit_events=20_000, tenants=20))
    alerts = simulation.expected()

    alerted = {
        label: {event_id in alerts.get(tenant_id, {})}
        for (tenant_id, event_id), label in simulation.labels.items()
    }

    for case in ALERTING:
        assert alerted[name_of(case)] == {True}, name_of(case)
    for case in QUIET:
        if case.__name__ != "_no_assignment":
            assert alerted[name_of(case)] == {False}, name_of(case)
    assert alerted["the_neighbours_evidence_seen_from_the_neighbour"] == {False}


def test_a_quiet_admins_rollout_is_quiet_in_the_seeds_matching_too() -> None:
    simulation = generate(SMALL)
    faithful = simulation.expected(Mode.FAITHFUL)

    quiet = {name_of(case) for case in QUIET}

    for (tenant_id, event_id), label in simulation.labels.items():
        assert label not in quiet or event_id not in faithful.get(tenant_id, {}), label


def test_both_ends_of_the_window_are_planted_and_one_tick_beyond() -> None:
    ledger = generate(SMALL).ledger

    distances = {
        risk.time - time
        for one in ledger.assignments
        for risk in ledger.risks
        if one.tenant_id == risk.tenant_id and one.handles & risk.handles
        for time in one.times
    }

    assert {-BEFORE - TICK, -BEFORE, AFTER, AFTER + TICK} <= distances


@pytest.mark.parametrize(
    ("distance", "counts"),
    [(-BEFORE - TICK, False), (-BEFORE, True), (AFTER, True), (AFTER + TICK, False)],
)
def test_the_ledger_counts_evidence_to_the_tick(distance: int, counts: bool) -> None:
    risk = replace(RISK, time=later(NOON, distance))

    alert = alert_of(Ledger(assignments=[ASSIGNMENT], risks=[risk]))

    assert (alert is not None) == counts


@pytest.mark.parametrize(
    ("distance", "addresses"),
    [
        (-GRAPH_SPAN - TICK, ()),
        (-GRAPH_SPAN, ("192.0.2.1",)),
        (GRAPH_SPAN, ("192.0.2.1",)),
        (GRAPH_SPAN + TICK, ()),
    ],
)
def test_the_ledger_counts_addresses_to_the_tick(distance: int, addresses: tuple[str, ...]) -> None:
    request = replace(REQUEST, time=later(NOON, distance))
    ledger = Ledger(assignments=[ASSIGNMENT], risks=[RISK], requests=[request])

    alert = alert_of(ledger)

    assert alert is not None
    assert alert.ip_addresses == addresses


def test_the_ledger_takes_the_window_of_any_copy() -> None:
    copied = replace(ASSIGNMENT, times=(NOON, later(NOON, HOUR)))
    risk = replace(RISK, time=later(NOON, AFTER + HOUR))

    alert = alert_of(Ledger(assignments=[copied], risks=[risk]))

    assert alert is not None
    assert alert.event_time == "2026-03-04T12:00:00.0000000Z"


def test_the_ledger_keeps_tenants_apart() -> None:
    ledger = Ledger([ASSIGNMENT], [replace(RISK, tenant_id="t2")])

    assert alert_of(ledger) is None


def test_the_ledger_tells_the_seeds_joins_from_the_repaired_matching() -> None:
    ledger = Ledger(assignments=[ASSIGNMENT], behaviors=[BEHAVIOR])

    assert alert_of(ledger, Mode.REPAIRED) is not None
    assert alert_of(ledger, Mode.FAITHFUL) is None


@pytest.mark.parametrize(
    ("level", "is_delegated_admin", "severity"),
    [("Medium", False, "low"), ("high", False, "medium"), ("Medium", True, "medium")],
)
def test_the_ledger_knows_when_severity_is_medium(
    level: str, is_delegated_admin: bool, severity: str
) -> None:
    assignment = replace(ASSIGNMENT, is_delegated_admin=is_delegated_admin)

    alert = alert_of(Ledger([assignment], [replace(RISK, level=level)]))

    assert alert is not None
    assert alert.severity == severity


def test_records_come_twice_about_as_often_as_measured(
    small: tuple[Simulation, list[Arrival]],
) -> None:
    ids = Counter(
        properties["requestId"]
        for record in good_records(*small)
        if record.get("category") == "MicrosoftGraphActivityLogs"
        and isinstance(properties := record["properties"], dict)
    )

    copied = sum(count - 1 for count in ids.values()) / ids.total()

    assert 0.02 < copied < 0.05


def test_copies_differ_in_the_time_of_the_envelope_alone(
    small: tuple[Simulation, list[Arrival]],
) -> None:
    seen: dict[object, dict[str, object]] = {}
    copies = 0

    for record in good_records(*small):
        properties = record.get("properties")
        if not isinstance(properties, dict) or "AuditEventId" not in properties:
            continue
        first = seen.setdefault((record["tenantId"], properties["AuditEventId"]), record)
        if first is not record:
            copies += 1
            assert first["time"] != record["time"]
            assert {**first, "time": ""} == {**record, "time": ""}

    assert copies > 20


def test_audit_records_are_one_to_two_kilobytes(small: tuple[Simulation, list[Arrival]]) -> None:
    sizes = sorted(
        len(orjson.dumps(record))
        for record in good_records(*small)
        if record.get("resultDescription") == "None"
    )

    assert sizes[len(sizes) // 100] >= 1_000
    assert sizes[-len(sizes) // 100] <= 2_300


def test_every_wire_form_occurs(small: tuple[Simulation, list[Arrival]]) -> None:
    records = good_records(*small)

    categories = {record.get("category") for record in records}
    properties = {type(record.get("properties", record.get("Properties"))) for record in records}
    nested = [one for record in records if isinstance(one := record.get("properties"), str) and one]

    assert {"AuditLogs", "OperationalLogs", "Devices", "DeviceComplianceOrg"} <= categories
    assert {"AdvancedHunting-IdentityInfo", "AdvancedHunting-BehaviorEntities"} <= categories
    assert {"MicrosoftGraphActivityLogs", "AdvancedHunting-GraphAPIAuditEvents"} <= categories
    assert {dict, str} <= properties
    assert {one[0] for one in nested} == {"{", '"'}
    assert any("AccountUPN" in record for record in records)
    assert any("aadiam" in str(record.get("resourceId")) for record in records)
    assert any(record.get("Type") == "IntuneAuditLogs" for record in records)


def test_values_come_as_envelopes_arrays_lines_and_bare_records(
    small: tuple[Simulation, list[Arrival]],
) -> None:
    _, arrivals = small

    values = [arrival.value for arrival in arrivals]

    assert any(value.startswith(b'{"records":[') for value in values)
    assert any(value.startswith(b'[{"records":[') for value in values)
    assert any(value.startswith(b'{"time":') and b"\n" not in value for value in values)
    assert any(b"\n" in value for value in values)
    assert any(rb"Mobile\u0041pp" in value for value in values)


def test_events_arrive_out_of_order(small: tuple[Simulation, list[Arrival]]) -> None:
    times = [str(record["time"]) for record in good_records(*small) if "time" in record]

    backwards = sum(before > after for before, after in pairwise(times))

    assert backwards > len(times) // 50


def test_the_background_has_as_many_audit_events_as_asked_for() -> None:
    simulation = generate(replace(SMALL, audit_events=3_000))
    planted = {event_id for _, event_id in simulation.labels}

    ids = set()
    for record in good_records(simulation, list(simulation)):
        properties = record.get("properties", record.get("Properties"))
        while isinstance(properties, str):
            properties = orjson.loads(properties)
        if isinstance(properties, dict) and "AuditEventId" in properties:
            ids.add(properties["AuditEventId"])

    nearly_assignments = 8
    assert abs(len(ids - planted) - nearly_assignments - 3_000) <= len(simulation.tenants)


def test_a_large_batch_is_split_below_256_kilobytes() -> None:
    record = orjson.dumps({"name": "é" * 750})
    deliveries = [Delivery(NOON, "t1", Kind.AUDIT, record)] * 1_000

    packings = [list(pack(dice(seed), deliveries)) for seed in range(40)]

    for values in packings:
        assert sum(value.records for value in values) == 1_000
        assert max(len(value.data) for value in values) <= LARGEST_VALUE


def test_spoiled_records_lie_where_they_are_said_to_lie(
    small: tuple[Simulation, list[Arrival]],
) -> None:
    simulation, arrivals = small
    values = {kind: [one.value for one in arrivals if one.kind is kind] for kind in Kind}

    assert len(simulation.dead_letters) == 24
    for letter in simulation.dead_letters:
        value = values[letter.kind][letter.ordinal]
        if letter.reason == "not JSON":
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(value)
            continue
        record = list(records_of(value))[letter.index or 0]
        assert (letter.index is None) == (b"records" not in value)
        assert is_spoiled(record, letter.reason)


def is_spoiled(record: dict[str, object], reason: str) -> bool:
    if reason == "no tenant":
        return not {"tenantId", "TenantId"} & record.keys()
    properties = record.get("properties", record)
    if reason == "properties cannot be read":
        return isinstance(properties, str) and not properties.endswith("}]}")
    moments = [record.get("time")]
    if isinstance(properties, dict) and "AuditEventId" not in properties:
        moments = [properties.get("Timestamp")]
    return parse_event_time(moments[0]) is None


def test_a_plain_simulation_has_no_dead_letters() -> None:
    simulation = generate(SMALL)

    list(simulation)

    assert simulation.dead_letters == ()


def test_dead_letters_are_not_known_before_a_pass() -> None:
    with pytest.raises(RuntimeError, match="iterate over it first"):
        _ = generate(SMALL).dead_letters


def test_one_tenant_is_too_few() -> None:
    with pytest.raises(ConfigError, match="take 2 or more"):
        Plan(tenants=1)


def test_the_late_risk_of_the_story_makes_a_second_revision_of_medium_severity() -> None:
    quiet, partner, travel, late = tell(NOON)

    assert [quiet.expected[0][mode] for mode in Mode] == [None, None]
    alert = partner.expected[0][Mode.REPAIRED]
    assert alert is not None
    assert alert.reasons == ("delegated_admin",)
    alert = travel.expected[0][Mode.REPAIRED]
    assert alert is not None
    assert alert.ip_addresses == ("198.51.100.23", "203.0.113.77")
    first, second = (step[Mode.REPAIRED] for step in late.expected)
    assert first is not None
    assert second is not None
    assert (first.severity, first.reasons) == ("low", ("risky_behavior",))
    assert (second.severity, second.reasons) == ("medium", ("user_risk", "risky_behavior"))


def test_the_story_frames_the_traffic() -> None:
    simulation = generate(replace(SMALL, story=True))
    first, last = simulation.scenes[0].steps[0][0], simulation.scenes[-1].steps[-1][0]

    arrivals = list(simulation)

    assert (arrivals[0], arrivals[-1]) == (first, last)
    assert simulation.labels[simulation.scenes[0].tenant.id, simulation.scenes[0].audit_event_id]
    assert simulation.scenes[-1].tenant.id in simulation.expected()


@pytest.mark.parametrize(
    ("text", "us", "short"),
    [
        ("2026-03-04T00:05:09.1200000Z", "3/4/2026 12:05:09 AM", "2026-03-04T00:05:09.12Z"),
        ("2026-11-14T12:00:00Z", "11/14/2026 12:00:00 PM", "2026-11-14T12:00:00Z"),
    ],
)
def test_moments_are_written_as_the_sources_write_them(text: str, us: str, short: str) -> None:
    moment = parse_event_time(text)

    assert moment is not None
    assert us_form(moment) == us
    assert short_form(moment) == short


class RecordingProducer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(self, topic: str, value: bytes) -> None:
        self.sent.append((topic, value))


def test_the_topics_of_a_kind_take_turns_and_a_rate_is_kept() -> None:
    producer, now, slept = RecordingProducer(), [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    topics = {Kind.AUDIT: ("a", "b")}
    arrivals = [Arrival(Kind.AUDIT, b"%d" % number, 5) for number in range(3)]

    sent = send(arrivals, producer, topics, Pace(10.0, lambda: now[0], sleep))

    assert producer.sent == [("a", b"0"), ("b", b"1"), ("a", b"2")]
    assert slept == [0.5, 0.5]
    assert (sent.values[Kind.AUDIT], sent.records[Kind.AUDIT]) == (3, 15)


def test_files_hold_one_value_a_line_in_order_of_arrival(tmp_path: Path) -> None:
    simulation = generate(replace(SMALL, many_lines=False, malformed=8))

    arrivals = list(simulation)

    write_files(arrivals, tmp_path)

    for kind, name in FILES.items():
        lines = (tmp_path / name).read_bytes().splitlines()
        assert lines == [one.value for one in arrivals if one.kind is kind]


def test_a_value_of_many_lines_does_not_go_into_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plan without many_lines"):
        write_files([Arrival(Kind.AUDIT, b"{}\n{}", 2)], tmp_path)


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(simulate)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_the_command_writes_files_and_what_must_come_of_them(tmp_path: Path) -> None:
    code, output = command(
        *("--events", "500", "--tenants", "3", "--malformed", "--story", "--output", "json"),
        *("--to-files", str(tmp_path)),
    )

    assert code == 0
    document = json.loads((tmp_path / "expected.json").read_bytes())
    alerts = document["matching"]["repaired"]["alerts"]
    assert json.loads(output)["expected"]["alerts"] == sum(map(len, alerts.values()))
    assert len(document["malformed"]) == 8
    assert len((tmp_path / "intune.audit.v1.jsonl").read_bytes().splitlines()) > 50


def test_a_start_that_is_no_moment_is_wrong_usage() -> None:
    code, output = command("--from", "yesterday")

    assert code == 2
    assert "yesterday" in output


def shape_of(record: object) -> tuple[object, ...]:
    return tuple(sorted(record)) if isinstance(record, dict) else ()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder of samples is not beside the project")
def test_records_have_the_member_names_of_the_samples() -> None:
    ours = {
        shape_of(record)
        for arrival in generate(SMALL)
        for record in records_of(arrival.value)
        if record.get("resultDescription") == "None"
        or str(record.get("category")).startswith(("AdvancedHunting-I", "MicrosoftGraph"))
    }
    theirs: set[tuple[object, ...]] = set()
    for name in FILES.values():
        for line in (SAMPLES / name).read_bytes().splitlines():
            try:
                theirs.update(shape_of(record) for record in records_of(line))
            except (orjson.JSONDecodeError, AttributeError, TypeError):
                continue  # the samples hold damaged values

    assert ours
    assert ours <= theirs


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder of samples is not beside the project")
def test_the_document_has_the_shape_of_the_samples() -> None:
    simulation = generate(replace(SMALL, malformed=8))
    list(simulation)
    document = json.loads(orjson.dumps(expectation_of(simulation)))
    samples = json.loads((SAMPLES / "expected-contract.json").read_bytes())

    def members(of: dict[str, object]) -> set[str]:
        alerts = of["matching"]["repaired"]["alerts"]  # type: ignore[index]
        return {name for tenant in alerts.values() for one in tenant.values() for name in one}

    assert samples.keys() <= document.keys()
    assert samples["windows"] == document["windows"]
    assert members(samples) <= members(document)
    assert samples["malformed"][0].keys() <= document["malformed"][0].keys()
