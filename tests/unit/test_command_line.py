import subprocess
import sys

import pytest
from typer.main import get_command

from pipeline.cli import command_line

COMMANDS = sorted(get_command(command_line()).commands)  # type: ignore[attr-defined]  # it is a group


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_the_same_by_itself(name: str) -> None:
    alone = get_command(command_line(name)).commands  # type: ignore[attr-defined]  # as above

    assert list(alone) == [name]


def test_a_rebuild_does_not_wait_for_what_only_a_worker_needs() -> None:
    program = (
        "import sys; from pipeline.cli import command_line; command_line('rebuild'); "
        "sys.exit({'faust', 'aiohttp', 'pipeline.backtest'} & sys.modules.keys() != set())"
    )

    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == 0
