"""Search a slice for rows about an actor that are no evidence whatever their time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.core.evidence import is_nothing
from pipeline.core.model import Assignment, Position
from pipeline.core.policy import Policy, Reason
from pipeline.ports import Candidate
from pipeline.slices.progress import Progress, Watch
from pipeline.slices.shard import Slice
from pipeline.sources.actor_rows import ActorRow, actor_row
from pipeline.sources.decode import Decoder, taken_apart
from pipeline.sources.finder import Finder

KINDS_AT_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class ActorRows:
    """Rows that say the same about the actor: how many, and the one nearest to the assignment.

    `apart` is how many ticks that one lies after it; None: its time cannot be read.
    """

    row: ActorRow
    count: int
    position: Position
    apart: int | None


def rows_of_actor(
    of: Slice, variants: Iterable[Assignment], policy: Policy, watch: Watch = lambda _: None
) -> tuple[ActorRows, ...]:
    """Read a slice to its end for rows about the actor of an assignment.

    Args:
        of: What to read.
        variants: Of one assignment.
        policy: How values are read.
        watch: Told now and then how far it is.

    Raises:
        ConfigError: a file cannot be read.
        BrokerUnavailable: the broker does not answer.
    """
    search = _Search(list(variants), policy)
    total, values, done = sum(one.units for one in of.shards), 0, 0
    for shard in of.shards:
        for chunk in shard.chunks():
            opened: set[Position] = set()
            for finder in search.finders:
                for candidate in chunk.candidates(finder):
                    if candidate.position not in opened:
                        opened.add(candidate.position)
                        search.open(candidate)
            values, done = values + len(chunk), done + chunk.units
            watch(Progress(values, done, total))
    return search.found()


class _Search:
    def __init__(self, variants: list[Assignment], policy: Policy) -> None:
        self._tenant_id = variants[0].tenant_id
        self._times = [one.event_time for one in variants]
        self._names = {
            name.lower()
            for one in variants
            for name in (one.identity, one.actor.upn, one.actor.object_id)
            if not is_nothing(name)
        }
        self._workspaces: Mapping[str, str] = policy.workspaces
        self._decode = Decoder(policy.matching, policy.workspaces)
        self._found: dict[tuple[Reason, str], ActorRows] = {}
        # A name that a row composes of AccountName and AccountDomain is found by its first part.
        parts = {name.partition("@")[0] or name for name in self._names}
        self.finders = [Finder(part) for part in sorted(parts)]

    def open(self, candidate: Candidate) -> None:
        """Look at every record of a value."""
        for position, row in self._rows(candidate):
            if row.tenant_id == self._tenant_id and row.names & self._names:
                self._keep(position, row)

    def found(self) -> tuple[ActorRows, ...]:
        """Return what was found so far, the most frequent first."""
        return tuple(
            sorted(self._found.values(), key=lambda one: (-one.count, one.row.says, one.position))
        )

    def _rows(self, candidate: Candidate) -> Iterator[tuple[Position, ActorRow]]:
        value, where = candidate.value or b"", candidate.position
        if not value.strip():
            return
        for record, (index, part) in zip(self._decode(value), taken_apart(value), strict=True):
            row = actor_row(part, record.decoded, self._workspaces)
            if row is not None:
                yield Position(where.topic, where.partition, where.offset, index), row

    def _keep(self, position: Position, row: ActorRow) -> None:
        kind = (row.reason, row.says)
        known = self._found.get(kind)
        one = ActorRows(row, 1, position, self._apart(row))
        if known is not None:
            nearest = min((known, one), key=_distance)
            one = ActorRows(nearest.row, known.count + 1, nearest.position, nearest.apart)
        if known is not None or len(self._found) < KINDS_AT_MOST:
            self._found[kind] = one

    def _apart(self, row: ActorRow) -> int | None:
        if row.event_time is None:
            return None
        return min((row.event_time - at for at in self._times), key=abs)


def _distance(one: ActorRows) -> tuple[bool, int, Position]:
    return one.apart is None, abs(one.apart or 0), one.position
