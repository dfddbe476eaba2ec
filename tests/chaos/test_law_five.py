"""Law 5 on real servers: a backtest of what two workers have read says what they published."""

import json
import signal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from expectation import standing
from redis import Redis

from pipeline.cli import run
from pipeline.core.evidence import Matching
from pipeline.demo.fleet import until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack
from pipeline.simulate.document import FILES
from pipeline.simulate.simulation import Plan, generate

pytestmark = pytest.mark.stack

SETTLED_WITHIN = 90.0
SESSION = {"KAFKA__SESSION_TIMEOUT": "5", "WORKER__LEASE": "3"}
Values = list[tuple[str, bytes]]


def simulated() -> Values:
    topics = {kind: name.removesuffix(".jsonl") for kind, name in FILES.items()}
    plan = Plan(seed=5, tenants=12, audit_events=12_000, malformed=8, story=True)
    return [(topics[arrival.kind], arrival.value) for arrival in generate(plan)]


def recorded_with_a_crash(rig: Rig, values: Values) -> None:
    """Let two workers read everything, one of which is killed half-way and replaced."""
    victim, other = rig.start_worker(), rig.start_worker()
    rig.wait_until_ready(victim, other)
    half = len(values) // 2

    rig.send(values[:half])
    victim.send(signal.SIGKILL)
    victim.wait()
    rig.wait_until_ready(rig.start_worker())
    rig.send(values[half:])

    until(rig.is_settled, "every record handled", SETTLED_WITHIN)


def traces(stack: Stack) -> tuple[dict[str, int], dict[str, list[int]], dict[bytes, bytes]]:
    """What there is to be changed: ends of partitions, commits of groups, contents of Redis."""
    client = {"bootstrap.servers": stack.bootstrap_servers}
    admin, consumer = AdminClient({**client}), Consumer({**client, "group.id": "looks-only"})
    try:
        partitions = [
            TopicPartition(topic, partition)
            for topic, about in consumer.list_topics(timeout=10).topics.items()
            for partition in about.partitions
            if not topic.startswith("__")
        ]
        ends = {
            f"{one.topic}[{one.partition}]": consumer.get_watermark_offsets(one, 10)[1]
            for one in partitions
        }
    finally:
        consumer.close()
    commits = {}
    for group in admin.list_consumer_groups().result(10).valid:
        asked = [ConsumerGroupTopicPartitions(group.group_id)]
        [found] = admin.list_consumer_group_offsets(asked).values()
        held = found.result(10).topic_partitions
        commits[group.group_id] = sorted(one.offset for one in held)
    with Redis.from_url(stack.redis_url) as redis:
        keys = {key: redis.dump(key) or b"" for key in redis.scan_iter(count=1000)}
    return ends, commits, keys


@pytest.mark.parametrize("matching", list(Matching))
def test_a_backtest_of_a_recorded_run_equals_what_was_published_and_leaves_no_trace(
    own_stack: Stack,
    tmp_path: Path,
    matching: Matching,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'matching = "{matching}"\n')
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", own_stack.bootstrap_servers)
    monkeypatch.setenv("MASSWATCH_REDIS__URL", own_stack.redis_url)
    monkeypatch.setenv("MASSWATCH_POLICY_FILE", str(policy))
    with Rig(own_stack, tmp_path, SESSION | {"POLICY_FILE": str(policy)}) as rig:
        recorded_with_a_crash(rig, simulated())
        live = standing(rig.alerts().values())
    before = traces(own_stack)

    code = run(["backtest", "--against", "live", "--processes", "2", "--output", "json"])

    document = json.loads(capsys.readouterr().out)
    alerts = {one["alert_id"]: one for one in document["policies"][0]["alerts"]}
    assert len(alerts) > 30
    assert alerts == live
    assert (code, document["live"]) == (0, [])
    assert traces(own_stack) == before
