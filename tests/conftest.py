"""The local stack that tests of the mark `stack` run on, and names of their own within it."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.localstack import Addresses, Stack, archive_classes, down, up

STACKS = Path(__file__).parents[1] / ".masswatch" / "test"


@pytest.fixture(scope="session")
def _quick_starts() -> None:
    """Many tests start a Kafka of their own."""
    archive_classes()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Addresses]:
    """A Kafka and a Redis that answer: those of the environment when both are named there."""
    bootstrap_servers = os.environ.get("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS")
    redis_url = os.environ.get("MASSWATCH_REDIS__URL")
    if bootstrap_servers and redis_url:
        yield Addresses(bootstrap_servers, redis_url)
        return
    request.getfixturevalue("_quick_starts")
    _end_what_a_killed_session_left()
    folder = STACKS / str(os.getpid())
    try:
        yield up(folder)
    finally:
        down(folder)
        # After a failure the logs are wanted, the data is not.
        for data in (folder / "kafka" / "data", folder / "redis" / "dump.rdb"):
            shutil.rmtree(data) if data.is_dir() else data.unlink(missing_ok=True)
        if not request.session.testsfailed:
            shutil.rmtree(folder)


@pytest.fixture
def own_stack(tmp_path: Path, _quick_starts: None) -> Iterator[Stack]:
    """A stack with nothing in it, whose servers a test may stop."""
    folder = tmp_path / "stack"
    try:
        yield up(folder)
    finally:
        down(folder)


@pytest.fixture
def prefix() -> str:
    """A beginning of topic, group and transaction names that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def namespace() -> str:
    """A namespace in Redis that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}"


def _end_what_a_killed_session_left() -> None:
    for folder in STACKS.glob("[0-9]*"):
        try:
            os.kill(int(folder.name), 0)
        except ProcessLookupError:
            down(folder, purge=True)
