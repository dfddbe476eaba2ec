import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from topics import export
from topics.alert import Alert


def test_the_exported_schemas_are_those_of_the_code() -> None:
    exported = {path.name: path.read_text("utf-8") for path in export.FOLDER.iterdir()}

    assert exported == export.schemas(), "run make schemas"


def test_writing_the_schemas_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FOLDER", tmp_path / "schemas")

    export.write()

    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "schemas").iterdir()}
    assert written == export.schemas()


def test_every_member_of_an_alert_is_in_its_schema_and_required() -> None:
    (text,) = export.schemas().values()
    schema = json.loads(text)

    Draft202012Validator.check_schema(schema)
    assert set(schema["required"]) == set(Alert.model_fields) == set(schema["properties"])
