"""Law 1 on real servers: two workers, of which one is killed and one sleeps past its session."""

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from expectation import PublishedAlert, alerts_of_the_batch

from pipeline.adapters.alert_codec import without_arrival
from pipeline.core.evidence import Matching
from pipeline.core.model import Fact
from pipeline.core.policy import Policy
from pipeline.demo.fleet import until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.sources.sieve import Sieve

pytestmark = pytest.mark.stack

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
SETTLED_WITHIN = 90.0
SESSION = {"KAFKA__SESSION_TIMEOUT": "5", "WORKER__LEASE": "3"}
PAUSE_PAST_THE_SESSION = 7.0

Value = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Input:
    """Values for the source topics, and the facts in those that the sieve lets through."""

    values: tuple[Value, ...]
    facts: frozenset[Fact]


def taken(values: Iterable[Value], matching: Matching) -> Input:
    """Read values as the batch evaluation does."""
    sieve, decode = Sieve(matching), Decoder(matching)
    held = tuple(values)
    facts = {
        record.decoded
        for _, value in held
        if sieve.admits(value)
        for record in decode(value)
        if not isinstance(record.decoded, Ignored | Malformed)
    }
    return Input(held, frozenset(facts))


def samples() -> Iterator[Value]:
    for path in sorted(SAMPLES.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            if line:
                yield path.name.removesuffix(".jsonl"), line


def survive_a_kill_and_a_long_sleep(rig: Rig, values: Sequence[Value]) -> None:
    """Send values while one of two workers is killed and replaced, and the other oversleeps."""
    victim, sleeper = rig.start_worker(), rig.start_worker()
    rig.wait_until_ready(victim, sleeper)
    half = len(values) // 2

    rig.send(values[:half])
    victim.send(signal.SIGKILL)
    victim.wait()
    heir = rig.start_worker()
    rig.wait_until_ready(heir)
    sleeper.send(signal.SIGSTOP)
    slept_from = time.monotonic()
    rig.send(values[half:])
    until(lambda: time.monotonic() > slept_from + PAUSE_PAST_THE_SESSION, "the session over", 60)
    sleeper.send(signal.SIGCONT)

    until(rig.is_settled, "every record handled", SETTLED_WITHIN)


def published(rig: Rig) -> dict[str, PublishedAlert]:
    return {
        alert_id: without_arrival(alert.model_dump(mode="json"))
        for alert_id, alert in rig.alerts().items()
        if alert.status == "active"
    }


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the samples beside the project")
@pytest.mark.parametrize("matching", list(Matching))
def test_the_samples_come_out_like_the_batch_through_a_kill_and_a_long_sleep(
    own_stack: Stack, tmp_path: Path, matching: Matching
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'matching = "{matching}"\n')
    given = taken(samples(), matching)

    with Rig(own_stack, tmp_path, SESSION | {"POLICY_FILE": str(policy)}) as rig:
        survive_a_kill_and_a_long_sleep(rig, given.values)

        assert published(rig) == alerts_of_the_batch(given.facts, Policy(matching=matching))
