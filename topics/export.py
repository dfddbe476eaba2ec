"""Writes the JSON Schemas of what we publish to `topics/schemas/`: `python -m topics.export`."""

import json
from pathlib import Path
from typing import Final

from topics.alert import Alert
from topics.catalogue import ALERTS

FOLDER: Final = Path(__file__).parent / "schemas"


def schemas() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    schema = Alert.model_json_schema(mode="serialization")  # a default is written, too
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return {f"{ALERTS}.schema.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"}


def write() -> None:
    """Write every schema file."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
