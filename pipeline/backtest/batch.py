"""The batch evaluation: what a query over all of the records says, whatever their order."""

from collections import defaultdict
from collections.abc import Iterable

from pipeline.core.evaluate import evaluate
from pipeline.core.evidence import Key, keys_of
from pipeline.core.model import Assignment, AssignmentId, Evidence, Fact
from pipeline.core.policy import Policy
from pipeline.core.verdict import Verdict


def judge(facts: Iterable[Fact], policy: Policy) -> dict[AssignmentId, Verdict]:
    """Judge every assignment among the facts by all of the facts.

    Returns:
        The verdict of each assignment, whether an alert follows or not.
    """
    variants: dict[AssignmentId, set[Assignment]] = defaultdict(set)
    evidence: dict[tuple[str, Key], set[Evidence]] = defaultdict(set)
    for fact in facts:
        if isinstance(fact, Assignment):
            variants[fact.id].add(fact)
        else:
            for key in keys_of(fact):
                evidence[fact.tenant_id, key].add(fact)
    return {
        of: evaluate(
            copies,
            {
                fact
                for copy in copies
                for key in keys_of(copy)
                for fact in evidence.get((of.tenant_id, key), ())
            },
            policy,
        )
        for of, copies in variants.items()
    }
