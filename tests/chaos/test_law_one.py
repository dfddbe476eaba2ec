"""Law 1 on real servers: two workers, of which one is killed and one sleeps past its session."""

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from expectation import alerts_of_the_batch, standing, taken

from pipeline.core.evidence import Matching
from pipeline.core.policy import Policy
from pipeline.demo.fleet import until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack

pytestmark = pytest.mark.stack

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
SETTLED_WITHIN = 90.0
SESSION = {"KAFKA__SESSION_TIMEOUT": "5", "WORKER__LEASE": "3"}
PAUSE_PAST_THE_SESSION = 7.0

Value = tuple[str, bytes]


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


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs the samples beside the project")
@pytest.mark.parametrize("matching", list(Matching))
def test_the_samples_come_out_like_the_batch_through_a_kill_and_a_long_sleep(
    own_stack: Stack, tmp_path: Path, matching: Matching
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'matching = "{matching}"\n')
    values = list(samples())
    facts, _ = taken(values, matching)

    with Rig(own_stack, tmp_path, SESSION | {"POLICY_FILE": str(policy)}) as rig:
        survive_a_kill_and_a_long_sleep(rig, values)

        assert standing(rig.alerts().values()) == alerts_of_the_batch(
            facts, Policy(matching=matching)
        )
