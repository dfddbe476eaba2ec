"""The engine's memory: an error before it runs out, and one bucket at a time when it is short."""

from collections.abc import Iterator

import pytest
from builders import audit_properties, audit_record, value_of
from shards import HeldShard

from pipeline.backtest.engine import OutOfMemory, run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.core.policy import Policy
from pipeline.slices.shard import Slice

QUESTION = Question((NamedPolicy("defaults", Policy()),))


def values(tenants: int, events: int) -> Iterator[bytes]:
    for number in range(events):
        yield value_of(
            audit_record(
                tenantId=f"tenant-{number % tenants}",
                properties=audit_properties(AuditEventId=f"event-{number}"),
            )
        )


def shard(tenants: int, events: int = 60) -> Slice:
    held = tuple(values(tenants, events))
    half = len(held) // 2
    return Slice(
        (HeldShard("audit", 0, 0, held[:half]), HeldShard("audit", 0, half, held[half:])),
        ("audit",),
    )


def test_facts_that_do_not_fit_are_an_error_that_says_how_much_they_take() -> None:
    with pytest.raises(OutOfMemory, match="allowed are 0: raise --memory"):
        run(shard(tenants=1), QUESTION, memory=50_000)


def test_facts_of_a_tenant_that_is_not_asked_for_take_no_memory() -> None:
    some = shard(tenants=60)
    one = Slice(some.shards, some.sources, frozenset({"tenant-7"}))

    backtest = run(one, QUESTION, memory=50_000)

    assert (backtest.read.values, backtest.answers[0].quiet) == (60, 1)


@pytest.mark.parametrize("memory", [40_000, 1 << 30])
def test_buckets_that_fit_one_by_one_are_judged_whatever_the_processes(memory: int) -> None:
    backtest = run(shard(tenants=30), QUESTION, processes=2, memory=memory)

    assert backtest.answers[0].quiet == 60
