"""What today's code and policy make of the value of a dead letter."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.adapters.kafka_sinks import read_request
from pipeline.core.model import Fact, Position
from pipeline.dlq.letter import Letter, Origin
from pipeline.ports import Candidate
from pipeline.sources.outcome import Decode, Ignored, Malformed, Record
from topics.catalogue import EVALUATIONS


@dataclass(frozen=True, slots=True)
class Reread:
    """What a letter's record would become: refused again, and why; or what it is now."""

    is_refused: bool
    outcome: str


class Reader:
    """Reads letters again; several of one value that follow each other cost one decoding.

    Args:
        decode: That of the worker, with the policy in force.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._last: tuple[Origin, Sequence[Record]] | None = None

    def __call__(self, letter: Letter) -> Reread:
        """Tell what the letter's record would become.

        A letter for a whole value, or for a record that is none of the value any more, is refused
        as long as any record of the value is.
        """
        if letter.origin.topic == EVALUATIONS:
            return _request(letter)
        records = self._records(letter)
        named = [one for one in records if one.index == letter.index]
        for one in named or records:
            if isinstance(one.decoded, Malformed):
                place = "" if one.index == letter.index else f"record #{one.index}: "
                return Reread(is_refused=True, outcome=f"{place}{one.decoded.reason}")
        return Reread(is_refused=False, outcome=_summary(named or records))

    def _records(self, letter: Letter) -> Sequence[Record]:
        if self._last is None or self._last[0] != letter.origin:
            self._last = letter.origin, self._decode(letter.record.value)
        return self._last[1]


def _request(letter: Letter) -> Reread:
    found = read_request(Candidate(Position(*letter.origin[:3]), letter.record.value))
    if found is None:
        return Reread(is_refused=True, outcome="not an evaluation request")
    return Reread(is_refused=False, outcome=f"evaluation request of tenant {found.tenant_id}")


def _summary(records: Sequence[Record]) -> str:
    return ", ".join(dict.fromkeys(_named(one.decoded) for one in records))


def _named(decoded: Fact | Ignored | Malformed) -> str:
    if isinstance(decoded, Ignored):
        return f"ignored: {decoded.why.value}"
    return type(decoded).__name__.lower()
