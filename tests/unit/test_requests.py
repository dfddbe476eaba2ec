import pytest

from pipeline.adapters.kafka_deliveries import Outgoing, _slices
from pipeline.adapters.kafka_sinks import partition_of, read_request, request_key
from pipeline.core.model import AssignmentId, Position
from pipeline.ports import Candidate

AT = Position("masswatch.evaluations.v1", 0, 0)


def test_tenant_and_event_cannot_run_together_in_a_key() -> None:
    assert request_key(AssignmentId('a","b', "c")) != request_key(AssignmentId("a", 'b","c'))


def test_every_version_places_an_assignment_in_the_same_partition() -> None:
    asked = AssignmentId("5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11", "event-1")

    assert request_key(asked) == b'["5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11","event-1"]'
    assert partition_of(request_key(asked), 8) == 6


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"tenant_id":"t"}',
        b'{"tenant_id":1,"audit_event_id":"e"}',
    ],
)
def test_a_value_of_another_shape_is_no_request(value: bytes | None) -> None:
    assert read_request(Candidate(AT, value)) is None


def test_records_are_sent_in_slices_that_fit_into_the_queue_of_the_producer() -> None:
    large = [Outgoing("t", b"x" * 6 * 1024 * 1024, None)] * 7
    small = [Outgoing("t", None, None)] * 25_000

    assert [len(few) for few in _slices(large)] == [3, 3, 1]
    assert [len(few) for few in _slices(small)] == [10_000, 10_000, 5_000]
    assert list(_slices([])) == []
