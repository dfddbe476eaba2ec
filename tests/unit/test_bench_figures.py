"""What the benchmark makes of its measurements: ratios, a picture, a model."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from bench import plot, table
from bench.capacity import DAY, Model, Volume
from bench.needle import NEEDLE, hits_in
from bench.records import Load, Traffic

OURS, THEIRS = "masswatch worker, whole", "plain <loop>"
NO_CPU = dict.fromkeys(("worker_cpu", "kafka_cpu", "redis_cpu"), 0.0)
NO_BYTES = dict.fromkeys(("worker_bytes", "redis_bytes", "evaluations_bytes", "alerts_bytes"), 0.0)
NOTHING = Volume(0, 0, 0, 0, 0, 0, 0, 0, 0)


def a_round(ours: float, theirs: float) -> dict[str, Any]:
    return {
        way: {"cpu_microseconds_per_record": cpu, "records_per_second": 1e6 / cpu}
        for way, cpu in ((OURS, ours), (THEIRS, theirs))
    }


def a_result() -> dict[str, Any]:
    rounds = [a_round(2, 4), a_round(20, 30), a_round(3, 12)]
    found = {"rounds": rounds, "share_of_a_core_at_rest": [0.03, 0.02, 0.04]}
    machine = {"cpu": "2 x A & B", "python": "3.11", "date": "today", "commit": "none"}
    return {"machine": machine, "throughput": {"none": found, "zstd": found}}


def costs(**of_alert: float) -> dict[str, Any]:
    nothing = {**NO_CPU, **NO_BYTES}
    names = (
        *("sieved, a record a value", "sieved, 130 a value", "opened, 130 a value"),
        *("risk", "assignment without a reason"),
    )
    shares = {"0": 0.02, "10": 0.03, "100": 0.10}
    return {
        "sorts": {**dict.fromkeys(names, nothing), "alert": {**nothing, **of_alert}},
        "alone": {**dict.fromkeys(names, nothing), "alert": {**nothing, **of_alert}},
        "shares_of_a_core": {
            rate: dict.fromkeys(("worker", "kafka", "redis"), share)
            for rate, share in shares.items()
        },
        "worker_bytes_warm": 100.0,
    }


def test_a_ratio_is_taken_within_each_round_and_then_summed_up() -> None:
    [_, theirs, *_] = table.rows(a_result())

    assert theirs.ratio is not None
    assert (theirs.ratio.median, theirs.ratio.lowest, theirs.ratio.highest) == (2.0, 1.5, 4.0)


def test_the_picture_is_the_same_for_the_same_result_and_shows_every_way() -> None:
    drawn = plot.picture(a_result())

    assert drawn == plot.picture(a_result())
    texts = [element.text for element in ET.fromstring(drawn).iter()]  # noqa: S314 - we drew it
    assert {OURS, THEIRS, "uncompressed", "zstd"} <= set(texts)


@pytest.mark.parametrize(("rate", "share"), [(0, 0.02), (5, 0.025), (10, 0.03), (55, 0.065)])
def test_between_measured_rates_the_share_is_on_a_line(rate: float, share: float) -> None:
    assert Model(costs()).share("worker", rate) == pytest.approx(share)


def test_a_day_without_a_record_takes_what_is_taken_at_rest() -> None:
    needs = Model(costs()).of_day(NOTHING)

    assert needs.worker_cpu == pytest.approx(0.02 * DAY)
    assert needs.worker_bytes == 100.0


def test_an_alert_takes_its_cost_beside_its_value() -> None:
    model = Model(costs(worker_cpu=500.0, worker_bytes=3.0, alerts_bytes=7.0))
    quiet = replace(NOTHING, values=1000, records=1000)
    alerts = replace(quiet, opened=10, assignments=10, evaluations=10, revisions=10, alerts=10)

    without, with_them = model.of_day(quiet), model.of_day(alerts)

    assert with_them.worker_cpu - without.worker_cpu == pytest.approx(10 * 500e-6)
    assert (with_them.worker_bytes, with_them.alerts_bytes) == (130.0, 70.0)


@pytest.mark.parametrize(("records", "in_one"), [(950, 1), (1_000, 130), (1_050, 30), (101, 60)])
def test_a_load_knows_what_has_to_be_opened(records: int, in_one: int) -> None:
    load = Load(Traffic([b'{"a":1}'], [b'{"' + NEEDLE + b'":1}']), records, in_one=in_one)

    values = [value for _, value in load.stream()]

    assert len(values) == load.values
    assert sum(value.count(NEEDLE) for value in values) == load.hits
    assert sum(map(hits_in, values)) == load.opened
