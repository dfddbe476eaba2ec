import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_placement import Standing
from pipeline.core.errors import StoreUnavailable
from pipeline.worker.restoring import Restoring

READY = Standing("mw1.a", None, is_being_rebuilt=False)
LOST = Standing("mw1.a", "no rebuild of them has ended", is_being_rebuilt=False)
IN_OTHER_HANDS = Standing("mw1.a", "no rebuild of them has ended", is_being_rebuilt=True)


class Store:
    """Stands as it is told to, or does not answer."""

    def __init__(self, standing: Standing | None) -> None:
        self.standing = standing
        self.looked = 0

    async def look(self) -> Standing:
        self.looked += 1
        if self.standing is None:
            raise StoreUnavailable("redis: away")
        return self.standing


class Rebuilds:
    """Processes that leave a line in a file when they start, and then end or sleep."""

    def __init__(self, folder: Path, *, exit_code: int = 0, seconds: float = 0) -> None:
        self.started = folder / "started"
        self.started.touch()
        script = (
            "import os, sys, time\n"
            f"open({str(self.started)!r}, 'a').write(str(os.getpid()) + '\\n')\n"
            f"time.sleep({seconds})\n"
            f"sys.exit({exit_code})\n"
        )
        self.command = (sys.executable, "-c", script)

    @property
    def pids(self) -> list[str]:
        return self.started.read_text().split()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.02)


def run(
    store: Store,
    rebuilds: Rebuilds,
    act: Callable[[Restoring, Metrics], Awaitable[None]],
    *,
    is_ours: bool = True,
) -> str:
    """Let a worker look after a store during an act; return its metrics."""

    async def both() -> str:
        metrics = Metrics("test")
        restoring = Restoring(
            store.look,
            lambda: is_ours,
            metrics,
            policy=lambda: None,
            rebuilt=lambda: None,
            command=rebuilds.command,
        )
        running = asyncio.create_task(restoring.run())
        await act(restoring, metrics)
        running.cancel()
        await restoring.stop()
        return metrics.text().decode()

    return asyncio.run(both())


def test_a_lost_store_is_rebuilt_and_then_left_alone(tmp_path: Path) -> None:
    store, rebuilds = Store(LOST), Rebuilds(tmp_path)

    async def act(_: Restoring, metrics: Metrics) -> None:
        await until(lambda: len(rebuilds.pids) == 1)
        store.standing = READY
        await until(lambda: b"masswatch_store_ready 1.0" in metrics.text())
        await until(lambda: b'masswatch_rebuilds_total{end="done"} 1.0' in metrics.text())

    run(store, rebuilds, act)

    assert len(rebuilds.pids) == 1


@pytest.mark.parametrize("standing", [READY, IN_OTHER_HANDS, None], ids=["ready", "other", "away"])
def test_nothing_is_rebuilt_that_stands_or_is_in_other_hands_or_away(
    tmp_path: Path, standing: Standing | None
) -> None:
    store, rebuilds = Store(standing), Rebuilds(tmp_path)

    async def act(_: Restoring, metrics: Metrics) -> None:
        await until(lambda: store.looked == 2)

    text = run(store, rebuilds, act)

    assert rebuilds.pids == []
    assert f"masswatch_store_ready {float(standing is READY)}" in text


def test_who_does_not_own_the_first_partition_rebuilds_nothing(tmp_path: Path) -> None:
    store, rebuilds = Store(LOST), Rebuilds(tmp_path)

    async def act(_: Restoring, metrics: Metrics) -> None:
        await until(lambda: store.looked == 2)

    text = run(store, rebuilds, act, is_ours=False)

    assert rebuilds.pids == []
    assert "masswatch_store_ready 0.0" in text


def test_a_rebuild_that_fails_is_counted_and_started_again(tmp_path: Path) -> None:
    store, rebuilds = Store(LOST), Rebuilds(tmp_path, exit_code=4)

    async def act(_: Restoring, metrics: Metrics) -> None:
        await until(lambda: b'masswatch_rebuilds_total{end="failed"} 1.0' in metrics.text())
        await until(lambda: len(rebuilds.pids) == 2)

    run(store, rebuilds, act)


def test_one_rebuild_at_a_time_and_none_outlives_the_worker(tmp_path: Path) -> None:
    store, rebuilds = Store(LOST), Rebuilds(tmp_path, seconds=60)

    async def act(restoring: Restoring, _: Metrics) -> None:
        await until(lambda: len(rebuilds.pids) == 1)
        looked = store.looked
        await until(lambda: store.looked == looked + 2)
        await restoring.stop()

    run(store, rebuilds, act)

    [pid] = rebuilds.pids
    assert not Path(f"/proc/{pid}").exists()
