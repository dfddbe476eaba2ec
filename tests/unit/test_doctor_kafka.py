from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.adapters.kafka_group_look import assigned
from pipeline.adapters.kafka_standing import (
    GroupStanding,
    KafkaStanding,
    Offsets,
    Place,
    Replicas,
    TopicStanding,
)
from pipeline.config import Settings
from pipeline.doctor.broker_checks import on_broker
from pipeline.doctor.clock_checks import on_kafka_clock
from pipeline.doctor.dead_letter_checks import on_dead_letters
from pipeline.doctor.finding import Area, Finding, Level
from pipeline.doctor.group_checks import on_groups
from pipeline.doctor.lag_checks import on_lag, wanted_times
from pipeline.doctor.permission_checks import on_kafka_permissions
from pipeline.doctor.plan import plan_of
from pipeline.doctor.topic_checks import on_topics
from topics.catalogue import ALERTS, EVALUATIONS, dlq_of

PLAN = plan_of(Settings())
AUDIT = "intune.audit.v1"
GROUP = "masswatch.audit"
PLACE = Place(AUDIT, 3)
NOW = 1_800_000_000_000
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
EVERYTHING = frozenset({"READ", "WRITE", "DESCRIBE"})
SETTINGS = {
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.max.timeout.ms": "900000",
    "socket.request.max.bytes": "104857600",
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
    "authorizer.class.name": "org.example.Authorizer",
}


def replicas(*in_sync: int, leader: int | None = 1) -> Replicas:
    return Replicas(leader, frozenset({1, 2, 3}), frozenset(in_sync))


def a_cluster() -> KafkaStanding:
    """Three brokers with every topic and group as they should be, and all records read."""
    topics = {
        topic.name: TopicStanding(
            {one: replicas(1, 2, 3) for one in range(topic.partitions)}, EVERYTHING
        )
        for topic in PLAN.topics
    }
    places = {
        name: [Place(name, one) for one in topic.partitions] for name, topic in topics.items()
    }
    dead_letters = set(PLAN.dead_letters)
    return KafkaStanding(
        cluster="c1",
        brokers=frozenset({1, 2, 3}),
        controller=1,
        settings=SETTINGS,
        topics=topics,
        configs={
            topic.name: {**topic.config(), "min.insync.replicas": "2"} for topic in PLAN.topics
        },
        offsets={
            place: Offsets(0, 0, 0) if name in dead_letters else Offsets(10, 20, 20, NOW - MINUTE)
            for name, some in places.items()
            for place in some
        },
        groups={
            name: GroupStanding(
                "stable",
                2,
                frozenset(place for topic in read for place in places[topic]),
                {place: 20 for topic in read for place in places[topic]},
            )
            for name, read in PLAN.groups.items()
        },
    )


CLUSTER = a_cluster()


def examined(found: KafkaStanding) -> list[Finding]:
    return [
        *on_broker(found, PLAN),
        *on_topics(found, PLAN),
        *on_groups(found, PLAN),
        *on_lag(found, PLAN, NOW),
        *on_dead_letters(found, PLAN, NOW),
        *on_kafka_permissions(found, PLAN),
        *on_kafka_clock(found, PLAN, NOW),
    ]


def wrong(found: KafkaStanding) -> list[Finding]:
    """Return what is not as in a cluster where all is well."""
    usual = set(examined(CLUSTER))
    return [one for one in examined(found) if one not in usual and one.level is not Level.OK]


def only(found: KafkaStanding) -> Finding:
    [one] = wrong(found)
    return one


def with_settings(**settings: str) -> KafkaStanding:
    told = {name.replace("_", "."): value for name, value in settings.items()}
    return replace(CLUSTER, settings={**SETTINGS, **told})


def with_topic(name: str, topic: TopicStanding) -> KafkaStanding:
    return replace(CLUSTER, topics={**CLUSTER.topics, name: topic})


def with_partition(of: Replicas, name: str = AUDIT) -> KafkaStanding:
    topic = CLUSTER.topics[name]
    return with_topic(name, replace(topic, partitions={**topic.partitions, 3: of}))


def with_config(name: str, **config: str) -> KafkaStanding:
    told = {key.replace("_", "."): value for key, value in config.items()}
    return replace(CLUSTER, configs={**CLUSTER.configs, name: {**CLUSTER.configs[name], **told}})


def with_group(**changes: Any) -> KafkaStanding:
    group = replace(CLUSTER.groups[GROUP], **changes)
    return replace(CLUSTER, groups={**CLUSTER.groups, GROUP: group})


def with_offsets(offsets: Offsets, place: Place = PLACE, **changes: Any) -> KafkaStanding:
    return replace(CLUSTER, offsets={**CLUSTER.offsets, place: offsets}, **changes)


def committed(offset: int) -> Mapping[Place, int]:
    return {**CLUSTER.groups[GROUP].committed, PLACE: offset}


def without(names: Iterable[str], topics: Mapping[str, TopicStanding]) -> dict[str, TopicStanding]:
    left_out = set(names)
    return {name: topic for name, topic in topics.items() if name not in left_out}


def test_a_cluster_where_all_is_well_has_no_fault_and_says_so_of_every_area() -> None:
    found = examined(CLUSTER)

    assert {one.level for one in found} == {Level.OK, Level.NOT_CHECKED}
    assert {one.area for one in found if one.level is Level.OK} == {
        Area.BROKER,
        Area.TOPICS,
        Area.GROUPS,
        Area.LAG,
        Area.DEAD_LETTERS,
        Area.PERMISSIONS,
        Area.CLOCK,
    }


@pytest.mark.parametrize(
    ("settings", "level", "says"),
    [
        ({"group_min_session_timeout_ms": "10001"}, Level.FAULT, "10 s is below the broker's"),
        ({"group_max_session_timeout_ms": "9999"}, Level.FAULT, "10 s is above the broker's"),
        ({"transaction_max_timeout_ms": "9999"}, Level.FAULT, "no alert can be published"),
        ({"socket_request_max_bytes": "8388608"}, Level.FAULT, "8.0 MiB"),
        ({"unclean_leader_election_enable": "true"}, Level.WARNING, "confirmed records"),
        ({"auto_create_topics_enable": "true"}, Level.NOTE, "misspelt"),
        ({"authorizer_class_name": ""}, Level.NOTE, "read, write and delete everything"),
    ],
)
def test_a_setting_of_the_broker_that_harms_is_named(
    settings: dict[str, str], level: Level, says: str
) -> None:
    found = only(with_settings(**settings))

    assert (found.level, found.area) == (level, Area.BROKER)
    assert says in found.what
    assert found.remedy


def test_a_setting_of_the_broker_at_its_very_bound_is_right() -> None:
    assert not wrong(
        with_settings(
            group_min_session_timeout_ms="10000",
            group_max_session_timeout_ms="10000",
            transaction_max_timeout_ms="10000",
            socket_request_max_bytes="8388609",
        )
    )


def test_a_cluster_without_controller_is_named() -> None:
    assert only(replace(CLUSTER, controller=None)).what == "no controller"


def test_what_the_broker_does_not_tell_is_not_taken_for_right() -> None:
    untold = replace(
        CLUSTER,
        settings={},
        configs={},
        untold={"settings": "cluster authorization failed", "configs": "not authorized"},
    )

    found = wrong(untold)

    assert {(one.level, one.where, one.what) for one in found} == {
        (Level.NOT_CHECKED, "broker settings", "cluster authorization failed"),
        (Level.NOT_CHECKED, "settings of topics", "not authorized"),
        (Level.NOT_CHECKED, "brokers", "Kafka tells no time, and no record has one of it"),
    }


def test_a_missing_topic_is_a_fault_with_the_command_that_makes_it() -> None:
    found = only(replace(CLUSTER, topics=without([dlq_of(AUDIT)], CLUSTER.topics)))

    assert (found.level, found.where, found.remedy) == (
        Level.FAULT,
        dlq_of(AUDIT),
        "run masswatch topics apply",
    )


def test_a_topic_that_is_hidden_from_us_is_not_said_to_be_missing() -> None:
    name = dlq_of(AUDIT)
    hidden = replace(CLUSTER, topics=without([name], CLUSTER.topics), forbidden=frozenset({name}))

    found = only(hidden)

    assert (found.level, found.where) == (Level.FAULT, name)
    assert "may not even see it" in found.what


def test_evaluations_and_alerts_of_unequal_partitions_are_a_fault() -> None:
    topic = CLUSTER.topics[EVALUATIONS]
    wider = replace(topic, partitions={**topic.partitions, 8: replicas(1, 2, 3)})
    owner = replace(
        CLUSTER.groups["masswatch.evaluations"],
        owned=CLUSTER.groups["masswatch.evaluations"].owned | {Place(EVALUATIONS, 8)},
    )
    groups = {**CLUSTER.groups, "masswatch.evaluations": owner}

    found = only(replace(with_topic(EVALUATIONS, wider), groups=groups))

    assert (found.level, found.where) == (Level.FAULT, EVALUATIONS)
    assert found.what == f"partitions is 9, declared is 8, as {ALERTS}"


@pytest.mark.parametrize(
    ("name", "config", "level"),
    [
        (AUDIT, {"cleanup_policy": "compact"}, Level.FAULT),
        (AUDIT, {"message_timestamp_type": "CreateTime"}, Level.FAULT),
        (AUDIT, {"retention_ms": str(23 * DAY - 1)}, Level.FAULT),
        (AUDIT, {"retention_ms": str(23 * DAY)}, Level.WARNING),
        (AUDIT, {"retention_ms": "-1"}, Level.NOTE),
        (EVALUATIONS, {"retention_ms": str(7 * DAY - 1)}, Level.FAULT),
        (AUDIT, {"compression_type": "zstd"}, Level.NOTE),
        (dlq_of(AUDIT), {"max_message_bytes": "1048588"}, Level.FAULT),
        (dlq_of(AUDIT), {"max_message_bytes": "9048588"}, Level.NOTE),
    ],
)
def test_a_setting_of_a_topic_is_as_grave_as_what_it_loses(
    name: str, config: dict[str, str], level: Level
) -> None:
    found = [one for one in wrong(with_config(name, **config)) if one.area is Area.TOPICS]

    assert [(one.level, one.where) for one in found] == [(level, name)]


def test_a_partition_without_leader_is_a_fault() -> None:
    found = only(with_partition(replicas(1, 2, leader=None)))

    assert (found.level, found.where) == (Level.FAULT, AUDIT)
    assert str(PLACE) in found.what


def test_a_replica_out_of_sync_is_a_warning_that_names_its_broker() -> None:
    found = only(with_partition(replicas(1, 2)))

    assert found.level is Level.WARNING
    assert found.what == "1 partition under-replicated: out of sync: broker 3"


def test_fewer_replicas_in_sync_than_writes_need_are_a_fault() -> None:
    found = wrong(with_partition(replicas(1)))

    assert [one.level for one in found] == [Level.WARNING, Level.FAULT]
    assert "min.insync.replicas is 2, in sync are 1 of 3: writes are refused" in found[1].what


def test_a_single_replica_on_several_brokers_is_a_warning() -> None:
    alone = Replicas(1, frozenset({1}), frozenset({1}))
    found = replace(
        with_partition(alone),
        configs={**CLUSTER.configs, AUDIT: {**CLUSTER.configs[AUDIT], "min.insync.replicas": "1"}},
    )

    assert [(one.level, one.where) for one in wrong(found)] == [(Level.WARNING, AUDIT)]


def test_writes_that_one_broker_confirms_alone_are_a_warning() -> None:
    found = only(with_config(AUDIT, min_insync_replicas="1"))

    assert (found.level, found.where) == (Level.WARNING, AUDIT)


def test_a_group_that_is_not_there_is_a_fault() -> None:
    groups = {name: group for name, group in CLUSTER.groups.items() if name != GROUP}

    found = only(replace(CLUSTER, groups=groups))

    assert (found.level, found.where) == (Level.FAULT, GROUP)


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"members": 0, "state": "empty"}, Level.FAULT, "nobody reads"),
        ({"state": "preparing rebalance"}, Level.WARNING, "is preparing rebalance"),
        ({"owned": frozenset[Place]()}, Level.FAULT, f"nobody owns {AUDIT}[0]"),
        ({"members": 9}, Level.NOTE, "9 members for 8 partitions"),
        ({"committed": committed(9)}, Level.FAULT, f"{PLACE}@9..10"),
        ({"committed": committed(21)}, Level.FAULT, f"{PLACE}@21 of 20"),
    ],
)
def test_what_is_wrong_with_a_group_is_told(
    changes: dict[str, Any], level: Level, says: str
) -> None:
    [found] = [one for one in wrong(with_group(**changes)) if one.area is Area.GROUPS]

    assert (found.level, found.where) == (level, GROUP)
    assert says in found.what


@pytest.mark.parametrize(
    ("committed_at", "level", "says"),
    [
        (19, Level.WARNING, f"deleted unread: {PLACE}@19: a record, or only the marker"),
        (18, Level.FAULT, f"deleted before they were read: {PLACE}@18..20"),
    ],
)
def test_what_may_have_been_the_marker_of_a_transaction_is_not_said_to_be_a_lost_record(
    committed_at: int, level: Level, says: str
) -> None:
    emptied = replace(
        with_group(committed=committed(committed_at)),
        offsets={**CLUSTER.offsets, PLACE: Offsets(20, 20, 20)},
    )

    found = only(emptied)

    assert (found.level, found.where) == (level, GROUP)
    assert says in found.what


def test_a_commit_at_the_beginning_and_one_member_a_partition_are_right() -> None:
    found = with_group(members=8, committed=committed(10))
    at_the_beginning = {(PLACE, 10): NOW - 1}

    assert not wrong(replace(found, times_ms=at_the_beginning))


@pytest.mark.parametrize(
    ("waits", "level"),
    [
        (timedelta(seconds=59), Level.OK),
        (timedelta(seconds=61), Level.WARNING),
        (timedelta(days=56), Level.WARNING),
        (timedelta(days=57), Level.FAULT),
    ],
)
def test_a_lag_is_as_grave_as_the_oldest_record_is_near_its_deletion(
    waits: timedelta, level: Level
) -> None:
    then = NOW - waits // timedelta(milliseconds=1)
    found = replace(with_group(committed=committed(15)), times_ms={(PLACE, 15): then})

    told = next(one for one in on_lag(found, PLAN, NOW) if one.where == GROUP)

    assert told.level is level
    assert f"5 offsets behind: {PLACE} 5; the oldest of {PLACE} has waited for" in told.what


@pytest.mark.parametrize(("waits", "level"), [(61_000, Level.WARNING), (60 * DAY, Level.FAULT)])
def test_a_few_old_records_are_not_hidden_by_many_fresh_ones(waits: int, level: Level) -> None:
    other = Place(AUDIT, 4)
    found = replace(
        with_group(committed={**committed(19), other: 12}),
        times_ms={(PLACE, 19): NOW - waits, (other, 12): NOW - 1},
    )

    told = only(found)

    assert told.level is level
    assert f"9 offsets behind: {other} 8, {PLACE} 1; the oldest of {PLACE} has waited" in told.what


def test_records_of_unknown_age_are_not_hidden_by_fresh_ones() -> None:
    other = Place(AUDIT, 4)
    found = replace(
        with_group(committed={**committed(19), other: 12}), times_ms={(other, 12): NOW - 1}
    )

    told = only(found)

    assert told.level is Level.WARNING
    assert f"since when {PLACE} waits could not be read" in told.what


@pytest.mark.parametrize(
    ("kept", "level"),
    [
        (str(20 * DAY), Level.FAULT),
        (str(23 * DAY), Level.WARNING),
        ("-1", Level.WARNING),
        (str(2**63 - 1), Level.WARNING),
    ],
)
def test_a_lag_is_judged_by_how_long_the_topic_really_keeps_records(
    kept: str, level: Level
) -> None:
    found = replace(
        with_config(AUDIT, retention_ms=kept),
        groups=with_group(committed=committed(15)).groups,
        times_ms={(PLACE, 15): NOW - 11 * DAY},
    )

    told = next(one for one in on_lag(found, PLAN, NOW) if one.where == GROUP)

    assert told.level is level


def test_a_lag_is_judged_by_how_long_the_topic_should_keep_records_where_it_does_not_say() -> None:
    found = replace(
        with_group(committed=committed(15)), configs={}, times_ms={(PLACE, 15): NOW - 60 * DAY}
    )

    told = next(one for one in on_lag(found, PLAN, NOW) if one.where == GROUP)

    assert told.level is Level.FAULT


def test_a_lag_of_unknown_age_is_a_warning() -> None:
    assert only(with_group(committed=committed(15))).level is Level.WARNING


def test_a_partition_without_a_commit_is_behind_by_all_that_it_holds() -> None:
    others = {place: of for place, of in committed(0).items() if place != PLACE}

    assert "10 offsets behind" in only(with_group(committed=others)).what


@pytest.mark.parametrize(
    ("lasts", "level"), [(MINUTE - 1, None), (MINUTE, Level.WARNING), (15 * MINUTE, Level.FAULT)]
)
def test_an_open_transaction_is_named_once_it_lasts(lasts: int, level: Level | None) -> None:
    found = with_offsets(
        Offsets(10, 20, 25, NOW), Place(ALERTS, 0), times_ms={(Place(ALERTS, 0), 20): NOW - lasts}
    )

    told = wrong(found)

    assert [one.level for one in told] == ([] if level is None else [level])
    assert all(f"{ALERTS}[0]" == one.where and "@20" in one.what for one in told)


def test_a_source_is_quiet_after_a_day_and_empty_without_records() -> None:
    quiet = {
        place: replace(of, newest_ms=NOW - DAY - 1) if place.topic == AUDIT else of
        for place, of in CLUSTER.offsets.items()
    }
    empty = {
        place: Offsets(20, 20, 20) if place.topic == AUDIT else of
        for place, of in CLUSTER.offsets.items()
    }

    assert "quiet" in only(replace(CLUSTER, offsets=quiet)).what
    assert only(replace(CLUSTER, offsets=empty)).what == "nothing in it"


def test_the_times_wanted_are_those_of_every_lag_of_open_transactions_and_of_dead_letters() -> None:
    other = Place(AUDIT, 4)
    dlq = Place(dlq_of(AUDIT), 0)
    found = replace(
        with_group(committed={**committed(12), other: 5}),
        offsets={
            **CLUSTER.offsets,
            dlq: Offsets(3, 7, 7, NOW),
            Place(ALERTS, 0): Offsets(10, 20, 25, NOW),
        },
    )

    wanted = set(wanted_times(found, PLAN))

    assert wanted == {(PLACE, 12), (other, 10), (Place(ALERTS, 0), 20), (dlq, 3)}


@pytest.mark.parametrize(("newest", "level"), [(DAY - 1, Level.WARNING), (DAY, Level.NOTE)])
def test_dead_letters_are_counted_with_their_times(newest: int, level: Level) -> None:
    dlq = Place(dlq_of(AUDIT), 0)
    found = with_offsets(Offsets(3, 7, 7, NOW - newest), dlq, times_ms={(dlq, 3): NOW - 3 * DAY})

    told = only(found)

    assert (told.level, told.where) == (level, dlq.topic)
    assert told.what.startswith("4 entries, the oldest 3 days ago")


def test_of_dead_letters_whose_newest_time_is_unknown_no_such_time_is_told() -> None:
    dlq = Place(dlq_of(AUDIT), 0)

    told = only(with_offsets(Offsets(3, 7, 7), dlq))

    assert (told.level, told.where) == (Level.WARNING, dlq.topic)
    assert told.what == "4 entries"


def test_the_newest_dead_letter_may_be_in_a_partition_of_which_no_time_is_told() -> None:
    known, unknown = Place(dlq_of(AUDIT), 0), Place(dlq_of(AUDIT), 1)
    both = TopicStanding({0: replicas(1, 2, 3), 1: replicas(1, 2, 3)}, EVERYTHING)
    offsets = {known: Offsets(1, 2, 2, NOW - 3 * DAY), unknown: Offsets(3, 7, 7)}
    found = replace(with_topic(known.topic, both), offsets=offsets)

    [told] = on_dead_letters(found, PLAN, NOW)

    assert (told.level, told.what) == (Level.WARNING, "5 entries")


def test_newest_times_that_the_broker_does_not_tell_leave_lag_judged() -> None:
    offsets = {place: replace(of, newest_ms=None) for place, of in CLUSTER.offsets.items()}
    untold = {"newest_ms": "local: required feature not supported by broker"}

    found = replace(with_group(committed=committed(15)), offsets=offsets, untold=untold)

    assert [(one.level, one.where) for one in wrong(found)] == [
        (Level.NOT_CHECKED, "quiet sources"),
        (Level.WARNING, GROUP),
        (Level.NOT_CHECKED, "brokers"),
    ]


@pytest.mark.parametrize(
    ("name", "operations", "lacks"),
    [
        (AUDIT, {"DESCRIBE"}, "READ"),
        (dlq_of(AUDIT), {"READ"}, "WRITE"),
        (EVALUATIONS, {"READ"}, "WRITE"),
        (ALERTS, {"DESCRIBE"}, "READ and WRITE"),
    ],
)
def test_a_permission_that_a_worker_lacks_is_a_fault(
    name: str, operations: set[str], lacks: str
) -> None:
    topic = replace(CLUSTER.topics[name], operations=frozenset(operations))

    found = only(with_topic(name, topic))

    assert (found.level, found.where) == (Level.FAULT, f"topic {name}")
    assert found.what == f"this user may not {lacks}"


def test_permissions_that_the_broker_does_not_tell_are_not_checked() -> None:
    topic = replace(CLUSTER.topics[AUDIT], operations=None)

    found = only(with_topic(AUDIT, topic))

    assert (found.level, found.where) == (Level.NOT_CHECKED, AUDIT)


def test_where_everybody_may_do_everything_nothing_of_it_is_left_unchecked() -> None:
    found = on_kafka_permissions(with_settings(authorizer_class_name=""), PLAN)

    assert [one.level for one in found] == [Level.OK]


def test_an_assignment_of_the_consumer_protocol_is_read() -> None:
    written = bytes.fromhex("0001 00000002 0001 61 00000002 00000000 00000007 0002 6262 00000000")

    assert list(assigned(written + b"\0\0\0\0")) == [Place("a", 0), Place("a", 7)]
    assert list(assigned(b"")) == []


@pytest.mark.parametrize(
    ("ahead", "level"),
    [
        (timedelta(seconds=59), None),
        (timedelta(seconds=60), Level.WARNING),
        (timedelta(days=2), Level.WARNING),
    ],
)
def test_a_record_stamped_in_the_future_tells_that_a_clock_is_wrong(
    ahead: timedelta, level: Level | None
) -> None:
    stamped = NOW + ahead // timedelta(milliseconds=1)

    told = wrong(with_offsets(Offsets(10, 20, 20, stamped)))

    assert [(one.level, one.area) for one in told] == (
        [] if level is None else [(level, Area.CLOCK)]
    )


def test_record_times_of_producers_tell_nothing_of_clocks() -> None:
    future = replace(
        with_config(AUDIT, message_timestamp_type="CreateTime"),
        offsets={**CLUSTER.offsets, PLACE: Offsets(10, 20, 20, NOW + DAY)},
    )

    assert not [one for one in wrong(future) if one.area is Area.CLOCK]
