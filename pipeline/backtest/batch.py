"""The batch evaluation: what a query over all of the records says, whatever their order."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from pipeline.core.evaluate import evaluate
from pipeline.core.evidence import Key, keys_of
from pipeline.core.model import Assignment, AssignmentId, Evidence, Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import Verdict


class Joined:
    """All facts, joined by tenant and key: each assignment with whatever may be its evidence."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._variants: dict[AssignmentId, set[Assignment]] = defaultdict(set)
        self._evidence: dict[tuple[str, Key], set[Evidence]] = defaultdict(set)
        for fact in facts:
            if isinstance(fact, Assignment):
                self._variants[fact.id].add(fact)
            else:
                for key in keys_of(fact):
                    self._evidence[fact.tenant_id, key].add(fact)

    def __iter__(self) -> Iterator[AssignmentId]:
        """Yield every assignment."""
        return iter(self._variants)

    def variants(self, of: AssignmentId) -> frozenset[Assignment]:
        """Return the variants of an assignment; none when there is no such one."""
        return frozenset(self._variants.get(of, ()))

    def evidence(self, of: AssignmentId) -> frozenset[Evidence]:
        """Return every fact that shares a key with a variant, whatever its time."""
        return frozenset(
            fact
            for variant in self._variants.get(of, ())
            for key in keys_of(variant)
            for fact in self._evidence.get((of.tenant_id, key), ())
        )


def judge(facts: Iterable[Fact], policy: Policy) -> dict[AssignmentId, Verdict]:
    """Judge every assignment among the facts by all of the facts.

    Returns:
        The verdict of each assignment, whether an alert follows or not.
    """
    joined = Joined(facts)
    return {of: evaluate(joined.variants(of), joined.evidence(of), policy) for of in joined}
