"""How soon a worker is back, by the bounds that are promised, on real servers."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from chaos.scene import tampering

from pipeline.demo.fleet import Worker, launch, until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack, up
from pipeline.simulate.moments import SECOND, later
from pipeline.simulate.planting import Act, Planting
from pipeline.simulate.simulation import Plan
from pipeline.simulate.tenants import draw_tenants

pytestmark = pytest.mark.stack

AUDIT = "intune.audit.v1"
TAKEN_OVER_WITHIN = 15.0
FOUND_STUCK_WITHIN = 30.0
BACK_WITHIN = 5.0
MANY = 60
"""So many assignments that every partition has some."""


@pytest.fixture
def rig(own_stack: Stack, tmp_path: Path) -> Iterator[Rig]:
    with Rig(own_stack, tmp_path) as rig:
        yield rig


def assignments(count: int, seed: str) -> list[tuple[str, bytes]]:
    """So many assignments by a partner's admin, each of which is an alert."""
    chance = Random(seed)
    planting, start = Planting(chance), Plan().start
    (tenant,) = draw_tenants(chance, 1, 1)
    admin = planting.newcomer(tenant.domain)
    for number in range(count):
        moment = later(start, number * SECOND)
        planting.assign(tenant, admin, moment, Act(is_delegated_admin=True))
    return [(AUDIT, delivery.record) for delivery in planting.deliveries]


def seconds_until_alerts(rig: Rig, count: int, since: float) -> float:
    until(lambda: len(rig.alerts()) >= count, f"{count} alerts", 60)
    return time.monotonic() - since


def test_what_a_killed_worker_read_is_read_by_another_within_15_seconds(rig: Rig) -> None:
    victim, heir = rig.start_worker(), rig.start_worker()
    rig.wait_until_ready(victim, heir)
    rig.send(assignments(MANY, "before"))
    until(lambda: len(rig.alerts()) == MANY, "alerts while both live", 30)

    victim.send(signal.SIGKILL)
    killed_at = time.monotonic()
    rig.send(assignments(MANY, "after"))

    assert seconds_until_alerts(rig, 2 * MANY, killed_at) < TAKEN_OVER_WITHIN


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_when_redis_is_back_alerts_come_within_5_seconds(
    rig: Rig, own_stack: Stack, number: signal.Signals
) -> None:
    worker = rig.start_worker()
    rig.wait_until_ready(worker)
    os.kill(own_stack.redis.pid, number)
    rig.send(assignments(MANY, "away"))
    until(lambda: _waits(worker), "a batch held", 30)

    if number is signal.SIGSTOP:
        os.kill(own_stack.redis.pid, signal.SIGCONT)
    else:
        up(own_stack.folder)
    back_at = time.monotonic()

    assert seconds_until_alerts(rig, MANY, back_at) < BACK_WITHIN


def test_a_partition_that_stands_still_is_found_within_30_seconds_and_ends_the_worker(
    rig: Rig,
) -> None:
    worker = rig.start_worker(lambda given, log: launch({**given, **tampering("hangs=1")}, log))
    rig.wait_until_ready(worker)

    rig.send(assignments(1, "stuck"))

    until(lambda: "worker.stuck" in worker.log.read_text(), "found stuck", FOUND_STUCK_WITHIN)
    assert worker.wait() == 1


def _waits(worker: Worker) -> bool:
    return any(
        value for name, value in worker.metrics().items() if name.startswith("masswatch_waiting{")
    )
