"""How far from an assignment its evidence may lie in event time."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from pipeline.core.event_time import EventTime, ticks


@dataclass(frozen=True, slots=True)
class Window:
    """A span around an event time; both ends are included."""

    before: timedelta
    after: timedelta

    def holds(self, assignment_time: EventTime, evidence_time: EventTime) -> bool:
        """Tell whether evidence of that time belongs to an assignment of this time."""
        first, last = self.around(assignment_time)
        return first <= evidence_time <= last

    def around(self, assignment_time: EventTime) -> tuple[EventTime, EventTime]:
        """Return the first and the last event time at which evidence counts."""
        return (
            EventTime(assignment_time - ticks(self.before)),
            EventTime(assignment_time + ticks(self.after)),
        )

    def mirrored(self) -> Self:
        """Return the window, seen from the evidence, in which its assignments lie."""
        return type(self)(before=self.after, after=self.before)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a policy, and how late a record may come and still be certain to count.

    Defaults: design of the detection: Entra's offline risk detections arrive up to 48 h late,
    Graph activity up to 2 h.
    """

    evidence: Window = Window(before=timedelta(days=14), after=timedelta(hours=48))
    graph: Window = Window(before=timedelta(hours=2.5), after=timedelta(hours=2.5))
    lateness: timedelta = timedelta(days=7)

    @property
    def retention(self) -> timedelta:
        """How long a fact is kept, from its writing."""
        return self.evidence.before + self.evidence.after + self.lateness
