"""A day of many tenants, faster: `python -m tests.bench.day --tenants 1000`.

The traffic of `masswatch simulate`, most of it at midday, goes through a whole worker within
minutes. What that takes stands beside what the capacity model says of such a volume in such a
time, from the costs in a result of `python -m tests.bench --only costs`: with facts of which many
come at once, and with facts that come alone. Exit code 1 when an alert is missing or should not be
there.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import pi, sin
from pathlib import Path
from statistics import median
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from pipeline.adapters.kafka_admin import apply
from pipeline.adapters.kafka_producer import KafkaProducer
from pipeline.core.errors import MasswatchError
from pipeline.demo.fleet import Worker, until
from pipeline.localstack import Stack, down, up, wait
from pipeline.simulate.delivery import Kind
from pipeline.simulate.output import Sent
from pipeline.simulate.simulation import Plan, Simulation, generate
from topics.catalogue import ALERTS, EVALUATIONS, Sources, catalogue

from .capacity import Model, Volume
from .crew import READY_WITHIN, Crew
from .measure import machine, yardstick
from .meters import Meters, Used
from .records import PARTITIONS

FOLDER: Final = Path(".masswatch") / "bench"
_SOURCES: Final = Sources()
_TOPICS: Final = {
    Kind.AUDIT: _SOURCES.audit[0],
    Kind.IDENTITY_INFO: _SOURCES.identity_info[0],
    Kind.BEHAVIOR_ENTITIES: _SOURCES.behavior_entities[0],
    Kind.GRAPH_ACTIVITY: _SOURCES.graph_activity[0],
}
_ENDS_WITHIN: Final = 600.0
_WAITS: Final = 0.02
_STICK_EVERY: Final = 5.0


def main() -> int:
    """Let the day pass, and compare."""
    asked = _asked()
    costs = json.loads(asked.costs.read_text())["costs"]
    stack_folder = FOLDER / "day"
    down(stack_folder, purge=True)
    try:
        stack = up(stack_folder, _progress, for_long=True)
        found = _day(stack, asked)
    finally:
        down(stack_folder, purge=True)
    asked.result.write_text(json.dumps(found, indent=2) + "\n")
    print("\n".join(_lines(found, costs)))
    return 1 if found["missing"] or found["unexpected"] else 0


def _day(stack: Stack, asked: argparse.Namespace) -> dict[str, Any]:
    apply(catalogue(_SOURCES, partitions=PARTITIONS), stack.client)
    plan = Plan(seed=asked.seed, tenants=asked.tenants, audit_events=asked.tenants * asked.events)
    simulation = generate(plan)
    worker = Worker(
        {
            "KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "REDIS__URL": stack.redis_url,
        },
        FOLDER / "logs" / "day.log",
    )
    try:
        until(worker.is_ready, "worker ready", READY_WITHIN)
        crew = Crew([worker], "")
        crew.come_to_rest()
        meters = Meters(stack, crew, tuple(_TOPICS.values()))
        before = meters.read()
        sticks: list[float] = []
        sent = _send(stack, simulation, asked.seconds, sticks)
        _progress(f"sent: {sum(sent.records.values()):,} records")
        _wait_for_the_end(crew, sent)
        after = meters.read()
        used = after - before
        counted = worker.metrics()
    finally:
        worker.stop()
    published = _published(stack.client)
    alerts = simulation.expected()
    expected = {(tenant, event) for tenant, found in alerts.items() for event in found}
    return {
        "machine": machine(),
        "tenants": asked.tenants,
        "yardstick": median(sticks),
        "volume": asdict(_volume(sent, counted, used, len(published))),
        "used": asdict(used),
        "worker_bytes": after.worker_bytes,
        "records": {str(kind): count for kind, count in sent.records.items()},
        "missing": len(expected - published),
        "unexpected": len(published - expected),
    }


def _send(stack: Stack, simulation: Simulation, seconds: float, sticks: list[float]) -> Sent:
    """Send the day so that its part that is over is that of the time; measure the cores often."""
    sent, total = Sent(), simulation.about_records
    done, began = 0, time.monotonic()
    with KafkaProducer(stack.client) as producer:
        for arrival in simulation:
            if time.monotonic() - began > len(sticks) * _STICK_EVERY:
                sticks.append(yardstick())
            while (passed := (time.monotonic() - began) / seconds) < 1 and done > total * _over(
                passed
            ):
                time.sleep(_WAITS)
            producer.send(_TOPICS[arrival.kind], arrival.value)
            sent.count(arrival)
            done += arrival.records
    return sent


def _over(day: float) -> float:
    """Return which part of the records has come at a part of the day, as the simulation has it."""
    return day - 0.8 * sin(2 * pi * day) / (2 * pi)


def _wait_for_the_end(crew: Crew, sent: Sent) -> None:
    """Wait until all has been fetched, and what was asked for has been judged."""
    values = sum(sent.values.values())

    def is_done() -> bool:
        fetched = crew.total("masswatch_values_fetched_total")
        asked = crew.total("masswatch_values_fetched_total", EVALUATIONS)
        return fetched - asked == values and crew.total("masswatch_lag") == 0

    if not wait.until(is_done, within=_ENDS_WITHIN, every=0.5):
        raise MasswatchError(f"the day: not read to its end: see {crew.workers[0].log}")
    crew.come_to_rest()


def _volume(sent: Sent, counted: Mapping[str, float], used: Used, alerts: int) -> Volume:
    totals: Counter[str] = Counter()
    for name, value in counted.items():
        metric, _, labels = name.partition("{")
        if EVALUATIONS in labels:
            continue
        totals[metric] += round(value)
        if 'kind="assignment"' in labels:
            totals[f"{metric} of assignments"] += round(value)
    handled = "masswatch_records_handled_total"
    assignments = totals[f"{handled} of assignments"]
    ended = ("ignored", "handled", "dead_lettered")
    return Volume(
        values=sum(sent.values.values()),
        records=sum(sent.records.values()),
        source_bytes=used.source_bytes,
        opened=sum(totals[f"masswatch_records_{end}_total"] for end in ended),
        facts=totals[handled] - assignments,
        assignments=assignments,
        evaluations=sum(_of(counted, "masswatch_evaluations_total")),
        revisions=sum(_of(counted, "masswatch_alerts_published_total")),
        alerts=alerts,
    )


def _of(counted: Mapping[str, float], metric: str) -> Iterator[float]:
    return (value for name, value in counted.items() if name.partition("{")[0] == metric)


def _published(client: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return tenant and audit event of every alert whose last revision is active."""
    consumer = Consumer(
        {
            **client,
            "group.id": "bench.day.reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(ALERTS, timeout=10).topics[ALERTS].partitions
    consumer.assign([TopicPartition(ALERTS, one, OFFSET_BEGINNING) for one in partitions])
    left, last = len(partitions), dict[tuple[str, str], str]()
    while left:
        message = consumer.poll(30)
        if message is None or message.error() is not None:
            left -= 1
            continue
        alert = json.loads(message.value() or b"{}")
        last[alert["tenant_id"], alert["audit_event_id"]] = alert["status"]
    consumer.close()
    return {one for one, status in last.items() if status == "active"}


def _lines(found: Mapping[str, Any], costs: Mapping[str, Any]) -> Iterator[str]:
    volume, used = found["volume"], found["used"]
    speed = found["yardstick"] / costs["yardstick"]
    yield f"# A day of {found['tenants']:,} tenants in {used['seconds']:.0f} s"
    yield ""
    yield ", ".join(f"{name} {value:,.0f}" for name, value in volume.items())
    yield f"alerts missing {found['missing']}, unexpected {found['unexpected']}"
    yield f"the same work took {speed:.2f} times the CPU that it took when costs were measured"
    yield ""
    yield "| | measured | model: facts at once | off by | model: facts alone | off by |"
    yield "|---|---|---|---|---|---|"
    at_once, alone = (
        Model(costs, are_alone).of_day(Volume(**volume), used["seconds"])
        for are_alone in (False, True)
    )
    for server in ("worker", "kafka", "redis"):
        name = f"{server}_cpu"
        models = [getattr(one, name) * speed for one in (at_once, alone)]
        yield _compared(f"CPU of {server}, s", models, used[name])
    for name in ("redis_bytes", "evaluations_bytes", "alerts_bytes", "worker_bytes"):
        was = found[name] if name == "worker_bytes" else used[name]
        models = [getattr(one, name) / 1e6 for one in (at_once, alone)]
        yield _compared(f"{name.replace('_bytes', '')}, MB", models, was / 1e6)


def _compared(what: str, models: Sequence[float], measured: float) -> str:
    cells = [f"{said:,.2f} | {said / measured - 1:+.0%}" for said in models]
    return f"| {what} | {measured:,.2f} | {' | '.join(cells)} |"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.day",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=200, help="audit events of a tenant")
    parser.add_argument("--seconds", type=float, default=240.0, help="that the day takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--costs", type=Path, default=FOLDER / "result.json")
    parser.add_argument("--result", type=Path, default=FOLDER / "day.json")
    return parser.parse_args()


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
