"""Why Kafka does not let us: librdkafka's complaints beside its answers, and what to do then."""

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AdminClient,
    ClusterMetadata,
)

from pipeline.core.errors import BrokerRefuses

NEVER_JOINED: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
"""Nothing to a consumer without a group: librdkafka looks for the one whose name it insists on."""

_NOT_LET_IN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own codes begin with a dash
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)
_NO_TLS: Final = KafkaError._SSL  # noqa: SLF001 - the same
_NOT_ALLOWED: Final = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the same
_LOOKS_EVERY: Final = 1.0
_POLL_SECONDS: Final = 0.05


def refusal(where: str, error: KafkaError, operation: str) -> BrokerRefuses | None:
    """Return what an error means if it is our user, or our trust, that is at fault.

    Args:
        where: What was asked, or what for: a broker, a topic, a transactional id.
        error: As librdkafka tells it.
        operation: What was to be done there, as ACLs call it.
    """
    said = error.str().rstrip(".")
    if error.code() in _NOT_LET_IN:
        return BrokerRefuses(
            f"{where}: refuses mechanism, user or password ({said}): correct "
            "MASSWATCH_KAFKA__SASL_MECHANISM, __USERNAME and __PASSWORD"
        )
    if error.code() == _NO_TLS:
        return BrokerRefuses(
            f"{where}: no TLS connection ({said}): look at MASSWATCH_KAFKA__CA_FILE, at "
            "MASSWATCH_KAFKA__SECURITY_PROTOCOL and at the names in the broker's certificate"
        )
    if error.code() in _NOT_ALLOWED:
        return BrokerRefuses(
            f"{where}: {operation} is not allowed to this user ({said}): extend its ACLs "
            "(README, Least privileges)"
        )
    return None


class Complaints:
    """Hears what a client complains of beside its answers, as its `error_cb`.

    Where librdkafka is not let in it tries on, and in the end answers that time ran out.
    """

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Hear one; librdkafka calls this while it is polled. A refusal is not forgotten."""
        says_nothing = self._last is not None and error.code() == _ALL_DOWN
        if not says_nothing and (self._last is None or refusal("", self._last, "") is None):
            self._last = error

    def raise_refusal(self, where: str) -> None:
        """Raise if a broker has refused us.

        Raises:
            BrokerRefuses: it has.
        """
        if self._last is not None and (refused := refusal(where, self._last, "")) is not None:
            raise refused

    def reason(self, error: KafkaError) -> str:
        """Say why there was no answer: what was heard, or else what was raised."""
        return (self._last or error).str().rstrip(".")


def metadata_of(
    client: AdminClient | Consumer,
    heard: Complaints,
    where: str,
    *,
    within: float,
    topic: str | None = None,
) -> ClusterMetadata:
    """Ask for metadata, and wait no longer once a broker has refused us.

    Args:
        client: One that hands no records out yet, and complains to `heard`.
        heard: The `error_cb` of the client.
        where: The brokers, for the error.
        within: Seconds to wait for an answer.
        topic: The topic asked for; None: all that we may see.

    Raises:
        BrokerRefuses: we are not let in.
        KafkaException: no answer in time.
    """
    deadline = time.monotonic() + within
    while True:
        left = deadline - time.monotonic()
        try:
            asked = {} if topic is None else {"topic": topic}
            return client.list_topics(timeout=max(0.0, min(left, _LOOKS_EVERY)), **asked)
        except KafkaException:
            client.poll(_POLL_SECONDS)
            heard.raise_refusal(where)
            if left <= _LOOKS_EVERY:
                raise
