"""`masswatch settings`: every setting, its default and what it means."""

from pipeline.cli.output import Output, OutputOption, print_json, print_table
from pipeline.config import every_setting


def show(output: OutputOption = Output.TABLE) -> None:
    """List every environment variable that is read, with its default."""
    settings = list(every_setting())
    if output is Output.JSON:
        print_json(
            [dict(zip(("name", "default", "meaning"), one, strict=True)) for one in settings]
        )
    else:
        print_table(("setting", "default", "meaning"), settings)
