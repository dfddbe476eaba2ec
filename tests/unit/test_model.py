from pipeline.core.model import Position


def test_a_position_says_topic_partition_offset_and_index() -> None:
    assert str(Position("intune.audit.v1", 3, 81215, 7)) == "intune.audit.v1[3]@81215#7"
    assert str(Position("intune.audit.v1", 3, 81215)) == "intune.audit.v1[3]@81215"
