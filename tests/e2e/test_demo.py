"""The demo, as a stranger runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack

PROJECT = Path(__file__).parents[2]


def masswatch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own, without the settings of this session."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MASSWATCH_")
    }
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_demo_tells_its_story_its_sums_hold_and_it_leaves_no_server(tmp_path: Path) -> None:
    done = masswatch(tmp_path, "demo", "--events", "5000")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rdkafka" not in done.stderr
    assert "no alert  dana.meyer@contoso.example.org" in done.stdout
    late_risk = [line for line in done.stdout.splitlines() if "ines.petrov" in line]
    assert ["rev 1" in late_risk[0], "rev 2" in late_risk[1]] == [True, True]
    assert "killed (SIGKILL)" in done.stdout
    assert "alerts, equal to live, field for field" in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("expected ")
    assert last.endswith("missing 0, wrong 0, unexpected 0")
    status = masswatch(tmp_path, "dev", "status", "--folder", ".masswatch/demo").stdout
    assert "running" not in status
    assert status.count("stopped") == 2
