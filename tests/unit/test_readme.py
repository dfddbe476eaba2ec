from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli import command_line
from pipeline.config import every_setting
from topics.catalogue import catalogue

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("setting", list(every_setting()), ids=lambda one: one[0])
def test_the_readme_names_every_setting_with_its_default(setting: tuple[str, str, str]) -> None:
    name, default, meaning = setting

    shown = f" `{default}` " if default else " "
    assert f"| `{name}` |{shown}| {meaning} |" in README


def test_the_readme_names_every_command() -> None:
    commands = get_command(command_line()).commands  # type: ignore[attr-defined]  # it is a group

    assert commands
    assert not [name for name in commands if f"masswatch {name}" not in README]


def test_the_readme_names_every_topic_but_the_dlqs_which_it_describes() -> None:
    names = [topic.name for topic in catalogue() if not topic.name.endswith(".dlq")]

    assert not [name for name in names if f"`{name}`" not in README]
