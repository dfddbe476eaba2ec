import pytest

from pipeline.cli.output import print_table


@pytest.mark.parametrize("name", ["7-Zip [/] x", "[internal] VPN [v2]", "[red]x", "[/x]"])
def test_a_name_that_looks_like_markup_is_shown_as_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(("what",), [(name,)])

    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "a\rb", "a\u202eb", "a\x9bb"])
def test_a_name_that_a_terminal_would_obey_is_escaped(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(("what",), [(name,)])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].strip().isprintable()
