"""The policy file, read anew when the process is hung up on (SIGHUP), and put in force.

Reading blocks nobody; putting it in force awaits nothing, so that no batch sees half of it; only
then the stored assignments are asked for again. Why nothing else has to stop for it:

- Evaluations in hand are decided by the former policy to their end. A partition has one evaluator,
  which takes its batches in order, and what is asked for now comes after them.
- Facts in hand ask afterwards which assignments they touch. If that was asked by the former
  windows, the facts were durable before the change, and the evaluations asked for now see them.
- A partition that moves meanwhile is asked for again by whoever takes it over.
- Another worker goes on deciding by the former policy until it is reloaded; then it asks for its
  partitions again. So whatever the order, the last to decide does so by the new policy.
- Such a worker's former windows may not reach an assignment that its facts touch by the new ones,
  in a partition of a worker that has asked already. So when the windows change, each worker asks
  for every assignment, and the last to be reloaded asks after the last of such facts.

What the former policy did not keep stays unknown: that is said, with the remedy.
"""

import asyncio
from pathlib import Path
from typing import Protocol

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.core.errors import ConfigError
from pipeline.core.policy import Policy
from pipeline.policy_file import load_policy
from pipeline.policy_notes import unknown_until_rebuilt

_log = structlog.get_logger()


class Governed(Protocol):
    """What a policy is in force for."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        ...

    def follow(self, policy: Policy) -> None:
        """Put another policy in force, at once."""
        ...


class AskAgain(Protocol):
    """Has stored assignments evaluated again."""

    def __call__(self, *, everywhere: bool) -> None:
        """Ask for those of our partitions, or of every partition; return without waiting."""
        ...


class Reloading:
    """Reads the policy file anew each time that it is told to.

    Args:
        path: The policy file; None when there is none.
        governed: What the policy is in force for.
        ask: Called after a change.
        metrics: Where reloads are counted.
    """

    def __init__(
        self, path: Path | None, governed: Governed, *, ask: AskAgain, metrics: Metrics
    ) -> None:
        self._path = path
        self._governed = governed
        self._ask = ask
        self._metrics = metrics

    async def run(self, hung_up: asyncio.Event) -> None:
        """Reload whenever hung up, for ever."""
        while True:
            await hung_up.wait()
            hung_up.clear()
            await self.reload()

    async def reload(self) -> None:
        """Put what the file says in force, unless it is wrong: then the former policy stays."""
        if self._path is None:
            _log.warning(
                "reload.skipped", reason="no policy file: MASSWATCH_POLICY_FILE is not set"
            )
            return
        before = self._governed.policy
        try:
            after = await asyncio.to_thread(load_policy, self._path)
        except ConfigError as error:
            self._metrics.policy_reload_ended("refused")
            faults = str(error).splitlines()
            _log.error("policy.refused", policy=before.digest, faults=faults)
            return
        if after.digest == before.digest:
            self._metrics.policy_reload_ended("unchanged")
            _log.info("policy.unchanged", policy=before.digest)
            return
        self._governed.follow(after)
        self._ask(everywhere=after.windows != before.windows)
        self._metrics.policy_reload_ended("reloaded")
        _log.info("policy.reloaded", before=before.digest, policy=after.digest)
        if changed := unknown_until_rebuilt(before, after):
            _log.warning(
                "policy.needs_rebuild",
                changed=changed,
                advice="run masswatch rebuild: what the former policy did not keep is unknown",
            )
