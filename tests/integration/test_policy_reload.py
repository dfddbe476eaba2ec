import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import PARTNER, actor_object, audit_properties, audit_record, envelope

from pipeline.core.policy import Policy
from pipeline.demo.fleet import Worker, until
from pipeline.demo.rig import Rig
from pipeline.localstack import Stack
from pipeline.policy_file import load_policy
from topics.alert import Alert
from topics.catalogue import Sources

pytestmark = pytest.mark.stack

WITHIN = 30.0
DELEGATED = envelope(
    audit_record(
        properties=audit_properties(
            Actor=actor_object(IsDelegatedAdmin=True, PartnerTenantId=PARTNER)
        )
    )
)
EXPECTED = f"""
[[allow]]
name = "rollouts by our partner"
partner_tenant = "{PARTNER}"
owner = "soc@example.org"
cause = "contract 2026-17"
since = 2026-03-01
until = 2026-03-08
"""
BROKEN = 'matching = "both"\nwindow = 3\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text("")
    return path


@pytest.fixture
def rig(own_stack: Stack, tmp_path: Path, path: Path) -> Iterator[Rig]:
    with Rig(own_stack, tmp_path / "logs", {"POLICY_FILE": str(path)}) as rig:
        yield rig


def comes(rig: Rig, status: str, revision: int) -> None:
    """Wait until the one alert has such a last revision."""

    def is_there() -> bool:
        found = [(one.status, one.revision) for one in rig.alerts().values()]
        assert len(found) < 2
        return found == [(status, revision)]

    until(is_there, f"revision {revision}, {status}", WITHIN)


def the_alert(rig: Rig) -> Alert:
    (alert,) = rig.alerts().values()
    return alert


def hang_up(worker: Worker) -> None:
    worker.send(signal.SIGHUP)


def decides_by(worker: Worker, policy: Policy) -> bool:
    return worker.metrics().get(f'masswatch_policy_info{{digest="{policy.digest}"}}') == 1


def test_a_policy_changes_alerts_without_a_restart_and_a_broken_one_changes_nothing(
    rig: Rig, path: Path
) -> None:
    worker = rig.start_worker()
    rig.wait_until_ready(worker)
    rig.send([(Sources().audit[0], DELEGATED)])
    comes(rig, "active", 1)

    path.write_text(EXPECTED)
    expected = load_policy(path)
    hang_up(worker)
    comes(rig, "withdrawn", 2)
    withdrawn = the_alert(rig)

    path.write_text(BROKEN)
    hang_up(worker)
    until(lambda: "policy.refused" in worker.log.read_text(), "refusal", WITHIN)
    assert worker.is_ready()
    assert decides_by(worker, expected)
    assert the_alert(rig) == withdrawn

    path.write_text("")
    hang_up(worker)
    comes(rig, "active", 3)

    assert [(one.reason, one.entry) for one in withdrawn.withheld] == [
        ("delegated_admin", "rollouts by our partner")
    ]
    assert decides_by(worker, Policy())
    metrics = worker.metrics()
    for end, count in (("reloaded", 2), ("refused", 1), ("unchanged", 0)):
        assert metrics[f'masswatch_policy_reloads_total{{end="{end}"}}'] == count


def test_hung_up_without_a_policy_file_a_worker_goes_on(own_stack: Stack, tmp_path: Path) -> None:
    with Rig(own_stack, tmp_path / "logs") as rig:
        worker = rig.start_worker()
        rig.wait_until_ready(worker)

        hang_up(worker)
        until(lambda: "reload.skipped" in worker.log.read_text(), "skip", WITHIN)
        rig.send([(Sources().audit[0], DELEGATED)])

        comes(rig, "active", 1)


def test_of_two_workers_each_reloads_and_the_last_decides_by_the_new_policy(
    rig: Rig, path: Path
) -> None:
    workers = [rig.start_worker(), rig.start_worker()]
    rig.wait_until_ready(*workers)
    rig.send([(Sources().audit[0], DELEGATED)])
    comes(rig, "active", 1)

    path.write_text(EXPECTED)
    for worker in workers:
        hang_up(worker)
        until(lambda: "policy.reloaded" in worker.log.read_text(), "reload", WITHIN)  # noqa: B023

    comes(rig, "withdrawn", 2)
