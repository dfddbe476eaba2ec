"""The parts of a file hold its lines, each once, wherever the cuts are."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.slices.lines import lines_of
from pipeline.sources.sieve import Sieve

WORD = b'"MobileAppAssignment"'
lines = st.lists(
    st.one_of(
        st.binary(max_size=12).map(lambda one: one.replace(b"\n", b"")),
        st.sampled_from([WORD, b'"RiskLevel": ', b'"High"', b'"RiskLevel": "High"']),
    ),
    max_size=40,
)
settings_of_files = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def split(data: bytes) -> list[bytes]:
    """The lines as anybody counts them: what follows the last line end only if it is something."""
    return data.split(b"\n")[:-1] if data.endswith(b"\n") or not data else data.split(b"\n")


@settings_of_files
@given(lines=lines, ends=st.booleans(), size=st.integers(1, 60))
def test_parts_hold_every_line_once_at_the_byte_where_it_begins(
    tmp_path: Path, lines: list[bytes], ends: bool, size: int
) -> None:
    path = tmp_path / "a.jsonl"
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    path.write_bytes(data)

    chunks = [(len(chunk), list(chunk)) for part in lines_of(path, size) for chunk in part.chunks()]
    found = [candidate for _, candidates in chunks for candidate in candidates]

    assert [one.value for one in found] == split(data)
    assert sum(count for count, _ in chunks) == len(split(data))
    assert all(data[one.position.offset :].startswith(one.value or b"") for one in found)
    assert len({one.position for one in found}) == len(found)


@settings_of_files
@given(lines=lines, ends=st.booleans(), size=st.integers(1, 60))
def test_candidates_are_the_lines_that_the_sieve_lets_through_alone(
    tmp_path: Path, lines: list[bytes], ends: bool, size: int
) -> None:
    path, sieve = tmp_path / "a.jsonl", Sieve()
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    path.write_bytes(data)

    found = [
        one.value
        for part in lines_of(path, size)
        for chunk in part.chunks()
        for one in chunk.candidates(sieve)
    ]

    assert found == [line for line in split(data) if sieve.admits(line)]


@pytest.mark.parametrize(
    ("name", "compress"), [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstd.compress)]
)
def test_compressed_files_are_read_through_all_of_their_frames(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(compress(b"1\n2\n") + compress(b"3\n4"))

    values = [one.value for part in lines_of(path, 1) for chunk in part.chunks() for one in chunk]

    assert values == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("name", "compress"), [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstd.compress)]
)
@pytest.mark.parametrize("damage", ["cut off", "foreign"])
def test_a_damaged_file_is_an_error_that_names_it(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes], damage: str
) -> None:
    path = tmp_path / name
    whole = compress(bytes(range(256)) * 40)
    path.write_bytes(whole[:-9] if damage == "cut off" else b"no archive" + whole)

    [part] = lines_of(path, 1)

    with pytest.raises(ConfigError, match=name):
        list(part.chunks())
