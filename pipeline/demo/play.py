"""The demo, act by act: the story, the background under which a worker dies, and the sums."""

import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from pipeline.adapters.alert_codec import without_arrival
from pipeline.backtest.batch import judge
from pipeline.backtest.compare import live_differences
from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_topics
from pipeline.core.errors import ConfigError
from pipeline.core.policy import Policy
from pipeline.core.verdict import Verdict
from pipeline.demo.comparison import Comparison, compare, event_of, says
from pipeline.demo.fleet import Worker, until
from pipeline.demo.rig import Rig
from pipeline.report.document import published
from pipeline.simulate.delivery import Arrival
from pipeline.simulate.expected import Mode
from pipeline.simulate.simulation import Plan, Simulation, generate
from pipeline.simulate.story import Scene
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from topics.alert import Alert
from topics.catalogue import ALERTS, Sources

SEEN_WITHIN: Final = 30.0
SETTLED_WITHIN: Final = 90.0


class Audience(Protocol):
    """Whom the demo is shown to."""

    def act(self, title: str) -> None:
        """Something begins."""
        ...

    def note(self, text: str) -> None:
        """Something happens."""
        ...

    def alert(self, alert: Alert) -> None:
        """A revision has come."""
        ...

    def quiet(self, scene: Scene, verdict: Verdict) -> None:
        """An assignment has brought no alert, and this is why."""
        ...


@dataclass(frozen=True, slots=True)
class Sums:
    """What the run came to.

    `conserved` has the counters of the worker that lived (law 2). `backtested` is how many alerts a
    backtest of the topics says, `unlike_live` in how many it differs from what stands on the
    alerts topic (law 5).
    """

    comparison: Comparison
    values: int
    conserved: dict[str, int]
    backtested: int
    unlike_live: int

    @property
    def holds(self) -> bool:
        """Whether the alerts are those that must come, and those of a backtest."""
        return self.comparison.holds and not self.unlike_live


def play(rig: Rig, audience: Audience, plan: Plan) -> Sums:
    """Run the demo on a rig without workers and with empty topics.

    Raises:
        ConfigError: there are alerts on the topic already.
        MasswatchError: a worker ended, or something that should have come did not come in time.
    """
    if rig.alerts():
        raise ConfigError(f"{ALERTS}: has alerts: the demo wants a cluster with nothing in it")
    audience.act("Two workers start")
    workers = rig.start_worker(), rig.start_worker()
    rig.wait_until_ready(*workers)
    audience.note("ready: " + ", ".join(f"worker {one.pid} on port {one.port}" for one in workers))
    simulation = generate(plan)
    _tell(rig, audience, simulation.scenes)
    values = _background(rig, audience, simulation, workers[0])
    audience.act("A backtest judges the same topics")
    backtested = _backtest(rig)
    live = {
        alert_id: without_arrival(alert.model_dump(mode="json"))
        for alert_id, alert in rig.alerts().items()
    }
    return Sums(
        comparison=compare(simulation.expected(Mode.REPAIRED), rig.alerts().values()),
        values=values,
        conserved=_conserved(rig.workers[-1]),
        backtested=len(backtested),
        unlike_live=len(live_differences(backtested, live)),
    )


def _backtest(rig: Rig) -> dict[str, dict[str, Any]]:
    """Return what a backtest of the source topics says, as it would be published."""
    question = Question((NamedPolicy("defaults", Policy()),))
    read = slice_of_topics(rig.client, Sources().all, question, frozenset())
    [answer] = run(read, question).answers
    return {one.verdict.alert_id: published(one) for one in answer.alerts}


def _tell(rig: Rig, audience: Audience, scenes: Sequence[Scene]) -> None:
    for step in range(max(len(scene.steps) for scene in scenes)):
        told = [scene for scene in scenes if step < len(scene.steps)]
        for scene in told:
            when = "" if step == 0 else "a day later, "
            audience.act(_sentence(f"{when}{scene.title}"))
            rig.send(_values(scene.steps[step]))
            if scene.expected[step][Mode.REPAIRED] is None:
                until(rig.is_settled, f"{scene.name} handled", SEEN_WITHIN)
                audience.quiet(scene, _verdict_of(scene))
            _watch(rig, audience, scene, step)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _watch(rig: Rig, audience: Audience, scene: Scene, step: int) -> None:
    """Show what comes until the alert of a scene says what it must say after a step."""
    expected = scene.expected[step][Mode.REPAIRED]

    def is_seen() -> bool:
        _show(rig.new_alerts(), audience)
        return expected is None or any(
            event_of(alert) == (scene.tenant.id, scene.audit_event_id) and says(alert, expected)
            for alert in rig.known_alerts()
        )

    until(is_seen, f"the alert of {scene.name}", SEEN_WITHIN)


def _background(rig: Rig, audience: Audience, simulation: Simulation, victim: Worker) -> int:
    """Send traffic of many tenants, kill a worker in the midst of it, and wait for the rest."""
    plan = simulation.plan
    audience.act(
        f"A day of {plan.tenants} tenants, {plan.audit_events:,} audit events, flat out; "
        "one of the two workers is killed under it"
    )
    told = sum(len(step) for scene in simulation.scenes for step in scene.steps[:1])
    traffic = islice(iter(simulation), told, None)
    sent = 0
    with ThreadPoolExecutor(1) as sender:
        for part in range(2):
            values = _part(traffic, plan.audit_events // 8 if part == 0 else None)
            sending = sender.submit(_send, rig, values)
            _show_until(sending, rig, audience)
            sent += sending.result()
            if part == 0:
                victim.send(signal.SIGKILL)
                victim.wait()
                audience.note(f"worker {victim.pid} killed (SIGKILL), its batches unfinished")
    audience.note(f"{sent:,} values sent; waiting until the worker that lives has handled all")

    def is_settled() -> bool:
        _show(rig.new_alerts(), audience)
        return rig.is_settled()

    until(is_settled, "every record handled", SETTLED_WITHIN)
    _show(rig.new_alerts(), audience)
    return sent


def _part(traffic: Iterator[Arrival], count: int | None) -> Iterable[tuple[str, bytes]]:
    return _values(islice(traffic, count))


def _send(rig: Rig, values: Iterable[tuple[str, bytes]]) -> int:
    held = list(values)
    rig.send(held)
    return len(held)


def _show_until(sending: "Future[int]", rig: Rig, audience: Audience) -> None:
    while not sending.done():
        _show(rig.new_alerts(), audience)


def _show(alerts: Iterable[Alert], audience: Audience) -> None:
    for alert in alerts:
        audience.alert(alert)


def _values(arrivals: Iterable[Arrival]) -> Iterator[tuple[str, bytes]]:
    for arrival in arrivals:
        topics: tuple[str, ...] = getattr(Sources(), arrival.kind)
        yield topics[0], arrival.value


def _verdict_of(scene: Scene) -> Verdict:
    decoded = (
        record.decoded
        for step in scene.steps
        for arrival in step
        for record in Decoder()(arrival.value)
    )
    facts = [one for one in decoded if not isinstance(one, Ignored | Malformed)]
    (verdict,) = judge(facts, Policy()).values()
    return verdict


def _conserved(worker: Worker) -> dict[str, int]:
    """Add up the counters of law 2 over all topics."""
    sums: dict[str, int] = {}
    for name, value in worker.metrics().items():
        short = name.partition("{")[0].removeprefix("masswatch_").removesuffix("_total")
        if short in CONSERVED:
            sums[short] = sums.get(short, 0) + int(value)
    return {name: sums.get(name, 0) for name in CONSERVED}


CONSERVED: Final = (
    "values_fetched",
    "values_sieved",
    "values_opened",
    "records_ignored",
    "records_handled",
    "records_dead_lettered",
)
