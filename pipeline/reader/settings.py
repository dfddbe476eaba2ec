"""What a reader can be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How to reach Kafka, as which group, and how long things may take.

    The times belong together: an effect may take `session_timeout - lease`; a revoke takes up to
    `revoke_timeout` and two commits, which must fit into `rebalance_timeout`; a stop takes up to
    `stop_timeout` in all, whatever the broker does.

    Attributes:
        bootstrap_servers: `host:port`, several with a comma between.
        group_id: The consumer group; one per agent.
        session_timeout: How long the broker waits for a sign of life before others take over.
        heartbeat_interval: How often the sign is given.
        lease: How long after an answered commit effects are allowed.
        renew_interval: A commit at least so often, changed or not, to renew the lease.
        commit_interval: A commit at least so often while there is something to commit.
        commit_timeout: How long one commit is waited for before it is tried again.
        rebalance_timeout: How long the broker waits for members when the group changes.
        revoke_timeout: How long running batches are waited for when partitions go.
        start_timeout: How long the brokers are waited for at the start.
        stop_timeout: How long a stop may take.
        request_timeout: How long any answer of a broker is waited for.
        fetch_max_bytes: Most bytes of one answer to a fetch.
        partition_fetch_max_bytes: Most bytes of one partition in it, before decompression.
        depth: Batches of one partition in the hands of the agent, from which on no more is taken;
            one fetch is handed out whole, however many batches it makes.
        batch_candidates: Candidates in one batch, from which on another is begun.
        client: Further arguments of `AIOKafkaConsumer`, such as those for TLS and SASL.
    """

    bootstrap_servers: str
    group_id: str
    session_timeout: timedelta = timedelta(seconds=10)
    heartbeat_interval: timedelta = timedelta(seconds=3)
    lease: timedelta = timedelta(seconds=7)
    renew_interval: timedelta = timedelta(seconds=2.5)
    commit_interval: timedelta = timedelta(seconds=1)
    commit_timeout: timedelta = timedelta(seconds=5)
    rebalance_timeout: timedelta = timedelta(seconds=30)
    revoke_timeout: timedelta = timedelta(seconds=7)
    start_timeout: timedelta = timedelta(seconds=15)
    stop_timeout: timedelta = timedelta(seconds=12)
    request_timeout: timedelta = timedelta(seconds=35)
    fetch_max_bytes: int = 16 << 20
    partition_fetch_max_bytes: int = 4 << 20
    depth: int = 2
    batch_candidates: int = 500
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
