"""What runs, written down beside its data, so that any later process finds it again."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.errors import ConfigError
from pipeline.localstack.process import Process


class Recorded(BaseModel):
    """One server: its ports, kept from start to start, and its process while there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ports: tuple[int, ...]
    process: Process | None = None


class State(BaseModel):
    """The servers by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: dict[str, Recorded] = {}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the state of a folder; an empty one if nothing has been started there yet."""
        path = _path(folder)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            raise ConfigError(
                f"{path}: not a state file of this version: "
                "end the processes that it names, and delete it"
            ) from error

    def with_server(self, name: str, recorded: Recorded) -> Self:
        """Return the state with this said of the server."""
        return self.model_copy(update={"servers": {**self.servers, name: recorded}})

    def save(self, folder: Path) -> None:
        """Write the state whole or not at all."""
        path = _path(folder)
        written = path.with_suffix(".new")
        written.write_text(self.model_dump_json(indent=2))
        written.replace(path)


def _path(folder: Path) -> Path:
    return folder / "stack.json"
