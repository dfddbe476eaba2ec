"""Files of other forms than JSON Lines, and which files a folder holds."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builders import DANA, TENANT, identity_row, value_of
from pyarrow import parquet

from pipeline.core.errors import ConfigError
from pipeline.core.event_time import parse_event_time
from pipeline.core.model import Risk
from pipeline.slices.files import files_in, shards_of
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve


def values_of(path: Path, part_bytes: int = 1 << 20) -> list[bytes | None]:
    return [
        one.value
        for shard in shards_of([path], part_bytes)
        for chunk in shard.chunks()
        for one in chunk
    ]


def table(folder: Path, columns: dict[str, Any], row_group_size: int | None = None) -> Path:
    path = folder / "table.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def test_a_row_of_a_table_is_the_object_that_an_export_of_it_would_be(tmp_path: Path) -> None:
    at = datetime(2026, 3, 2, 9, 12, 41, 553_001, UTC)
    columns = {
        "TenantId": [TENANT],
        "Timestamp": pa.array([at], pa.timestamp("us", tz="UTC")),
        "AccountUpn": [DANA],
        "Type": ["User"],
        "RiskLevel": ["High"],
        "IsAccountEnabled": [True],
        "Tags": [["a", "b"]],
        "AdditionalFields": [{"inner": None}],
    }

    [value] = values_of(table(tmp_path, columns))

    assert json.loads(value or b"") == {
        "TenantId": TENANT,
        "Timestamp": "2026-03-02T09:12:41.553001Z",
        "AccountUpn": DANA,
        "Type": "User",
        "RiskLevel": "High",
        "IsAccountEnabled": True,
        "Tags": ["a", "b"],
        "AdditionalFields": {"inner": None},
    }
    [record] = Decoder()(value)
    assert isinstance(record.decoded, Risk)
    assert record.decoded.event_time == parse_event_time("2026-03-02T09:12:41.5530010Z")


@pytest.mark.parametrize(
    ("unit", "number", "text"),
    [
        ("ns", 1_772_442_761_553_000_100, "2026-03-02T09:12:41.5530001Z"),
        ("us", 1_772_442_761_553_000, "2026-03-02T09:12:41.553000Z"),
        ("ms", 1_772_442_761_553, "2026-03-02T09:12:41.553Z"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", None])
def test_times_keep_their_100_ns_and_become_utc(
    tmp_path: Path, unit: str, number: int, text: str, zone: str | None
) -> None:
    times = pa.array([number, None], pa.int64()).cast(pa.timestamp(unit, tz=zone))

    values = values_of(table(tmp_path, {"Timestamp": times}))

    assert [json.loads(one or b"")["Timestamp"] for one in values] == [text, None]


def test_a_column_value_holds_values_as_a_topic_does(tmp_path: Path) -> None:
    path = table(tmp_path, {"value": [b'{"a": 1}', None, b"no JSON"], "offset": [1, 2, 3]})

    assert values_of(path) == [b'{"a": 1}', None, b"no JSON"]


def test_row_groups_are_read_once_each_with_the_row_as_their_place(tmp_path: Path) -> None:
    path = table(tmp_path, {"value": [str(one) for one in range(100)]}, row_group_size=7)

    shards = list(shards_of([path], 200))
    found = [one for shard in shards for chunk in shard.chunks() for one in chunk]

    assert len(shards) > 3
    assert [one.value for one in found] == [str(one).encode() for one in range(100)]
    assert [one.position.offset for one in found] == list(range(100))


def test_the_sieve_lets_rows_through_as_it_does_values(tmp_path: Path) -> None:
    rows = [value_of(identity_row()), value_of(identity_row(RiskLevel="Low")), b"", None]
    path = table(tmp_path, {"value": rows})

    [shard] = shards_of([path])
    candidates = [one for chunk in shard.chunks() for one in chunk.candidates(Sieve())]

    assert [one.value for one in candidates] == rows[:1]


def test_a_file_that_is_no_parquet_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 and no more")

    with pytest.raises(ConfigError, match=r"broken\.parquet: not to be read as Parquet"):
        list(shards_of([path]))


def test_an_empty_table_holds_nothing(tmp_path: Path) -> None:
    assert values_of(table(tmp_path, {"value": pa.array([], pa.binary())})) == []


def test_a_folder_stands_for_the_files_of_known_names_in_it(tmp_path: Path) -> None:
    names = ["b.jsonl", "deep/a.jsonl.gz", "c.parquet", "notes.txt", "d.ndjson.zst", "e.gz"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = files_in([tmp_path, tmp_path / "b.jsonl"])

    assert [str(one.relative_to(tmp_path)) for one in found] == [
        "b.jsonl",
        "c.parquet",
        "d.ndjson.zst",
        "deep/a.jsonl.gz",
    ]


def test_a_folder_without_any_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name files or a folder"):
        files_in([tmp_path])


def test_a_line_without_an_end_is_an_error_before_memory_runs_out(tmp_path: Path) -> None:
    path = tmp_path / "one-line.jsonl"
    with path.open("wb") as file:
        file.truncate(80 * 1024 * 1024)

    [shard, *_] = shards_of([path], 1 << 30)

    with pytest.raises(ConfigError, match="a line longer than 64 MiB at byte 0"):
        list(shard.chunks())


def test_of_json_files_a_folder_stands_for_those_with_a_value_a_line(tmp_path: Path) -> None:
    (tmp_path / "PT1H.json").write_text('{"records": []}\n{"records": []}\n')
    (tmp_path / "expected.json").write_text('{\n  "alerts": []\n}\n')

    assert files_in([tmp_path]) == [tmp_path / "PT1H.json"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"\x1f\x8b\x08", "holds gzip: call it .gz"),
        ("a.jsonl", b"\x28\xb5\x2f\xfd", "holds zstd: call it .zst"),
        ("a.jsonl", b"PAR1", "holds Parquet: call it .parquet"),
        ("a.jsonl.bz2", b"BZh9", "holds bzip2: unpack it"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "holds UTF-16: convert it to UTF-8"),
        ("a.parquet.gz", b"\x1f\x8b\x08", "Parquet in an archive: unpack it"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_an_error(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=words):
        list(shards_of([path]))


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(ConfigError, match="write it to a file first"):
        files_in([pipe])


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n" * 1000)
    [shard] = shards_of([path])

    os.truncate(path, 100)

    with pytest.raises(ConfigError, match="became shorter"):
        list(shard.chunks())


def test_texts_that_were_written_as_bytes_are_texts(tmp_path: Path) -> None:
    columns = {
        "TenantId": [TENANT.encode()],
        "Timestamp": [b"2026-03-02T09:12:41Z"],
        "AccountUpn": [DANA.encode()],
        "Type": [b"User"],
        "RiskLevel": [b"High"],
    }

    [value] = values_of(table(tmp_path, columns))

    [record] = Decoder()(value)
    assert isinstance(record.decoded, Risk)


def test_a_column_value_of_numbers_is_one_of_a_table(tmp_path: Path) -> None:
    [value] = values_of(table(tmp_path, {"value": [1.5], "RiskLevel": ["High"]}))

    assert json.loads(value or b"") == {"value": 1.5, "RiskLevel": "High"}


def test_two_columns_of_one_name_and_texts_that_are_none_are_errors(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["High"]), pa.array(["Low"])], names=["a", "a"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    broken = table(tmp_path, {"a": pa.array([b"\xff\xfe"], pa.binary())})

    for path in (tmp_path / "twice.parquet", broken):
        with pytest.raises(ConfigError, match="not to be read as Parquet"):
            values_of(path)
