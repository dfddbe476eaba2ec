"""How often a batch makes its stage wait for Redis: counted at the connection."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders import audit_properties, audit_record, hunting_record, identity_row
from redis.asyncio import Connection, ConnectionPool
from stages import Counts, always

from pipeline.adapters.memory_alerts import MemoryDeadLetters, MemoryRequests
from pipeline.adapters.redis_facts import RedisFacts
from pipeline.adapters.redis_quick import QuickRedis
from pipeline.core.model import Position
from pipeline.core.window import Windows
from pipeline.localstack import Addresses
from pipeline.ports import Candidate
from pipeline.sources.decode import Decoder
from pipeline.stages.observe import Observe

WINDOWS = Windows()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


def a_batch(pairs: int) -> list[Candidate]:
    """Build so many assignments of as many people, and a row of risk of each."""
    candidates: list[Candidate] = []
    for number in range(pairs):
        who, event = f"person{number}@example.org", f"event-{number}"
        assignment = audit_record(identity=who, properties=audit_properties(AuditEventId=event))
        risk = hunting_record("IdentityInfo", identity_row(AccountUpn=who))
        for record in (assignment, risk):
            value = json.dumps({"records": [record]}).encode()
            candidates.append(Candidate(Position("mixed", 0, len(candidates)), value))
    return candidates


@pytest.mark.stack
@pytest.mark.parametrize("pairs", [1, 200])
def test_a_batch_of_any_size_takes_at_most_four_round_trips(
    runner: asyncio.Runner, stack: Addresses, namespace: str, pairs: int
) -> None:
    class Counting(Connection):
        sent = 0

        async def send_packed_command(self, *args: Any, **settings: Any) -> None:
            type(self).sent += 1
            await super().send_packed_command(*args, **settings)

    pool = ConnectionPool.from_url(stack.redis_url, connection_class=Counting, protocol=2)
    facts = RedisFacts(QuickRedis.from_pool(pool), namespace, WINDOWS)
    requests = MemoryRequests()
    observe = Observe(
        facts=facts,
        requests=requests,
        letters=MemoryDeadLetters(),
        decode=Decoder(),
        windows=WINDOWS,
        counts=Counts(),
    )

    async def trips() -> int:
        await observe(a_batch(1), always)  # connects
        before = Counting.sent
        assert await observe(a_batch(pairs), always)
        after = Counting.sent
        await facts.close()
        return after - before

    assert runner.run(trips()) <= 4
    assert len(set(requests.sent)) == pairs
