"""Settings: what the environment says, checked all at once. The only reader of the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from pipeline.core.errors import ConfigError
from pipeline.security import Client, KafkaIdentity, RedisIdentity, Section
from topics.catalogue import History, Sources

PREFIX: Final = "MASSWATCH_"


def _names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _number_of(unit: str) -> BeforeValidator:
    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return timedelta(**{unit: float(value)})
        except (ValueError, OverflowError) as error:
            raise ValueError(f'not a number of {unit}: "{value}"') from error

    return BeforeValidator(read)


def _redis_url(value: object) -> object:
    if isinstance(value, str) and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
        # Anything else may be, or hold, a password.
        quoted = f' in "{value}"' if _HOST_AND_PORT.fullmatch(value) else " of Redis"
        raise ValueError(f"no scheme{quoted}: write redis://localhost:6379/0")
    return value


_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}")
_IN_DAYS: Final = _number_of("days")
Seconds = Annotated[timedelta, _number_of("seconds"), Field(gt=timedelta())]
SecondsOrNone = Annotated[timedelta, _number_of("seconds"), Field(ge=timedelta())]
Days = Annotated[timedelta, _IN_DAYS, Field(ge=timedelta())]
TopicNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), Field(min_length=1)]


class SourceSettings(Section):
    """Topics of each source, separated by commas; a topic may mix tables."""

    audit: TopicNames = Field(
        Sources().audit, description="topics of IntuneAuditLogs, separated by commas"
    )
    identity_info: TopicNames = Field(
        Sources().identity_info, description="topics of IdentityInfo, separated by commas"
    )
    behavior_entities: TopicNames = Field(
        Sources().behavior_entities, description="topics of BehaviorEntities, separated by commas"
    )
    graph_activity: TopicNames = Field(
        Sources().graph_activity, description="topics of Graph activity, separated by commas"
    )


class KafkaSettings(KafkaIdentity):
    """The Kafka cluster that holds every topic."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="host:port, several separated by commas"
    )
    application_id: str = Field(
        "masswatch", min_length=1, description="prefix of consumer groups and transactional ids"
    )
    topics: SourceSettings = SourceSettings()
    replication_factor: int = Field(
        -1, ge=-1, description="of new topics; -1: the broker's default"
    )
    history: Days = Field(
        History().assignments,
        description="days back that a backtest can judge: source topics are kept 23 days longer",
    )
    graph_history: Days = Field(
        History().graph, description="the same of Graph activity, by far the largest table"
    )
    session_timeout: Seconds = Field(
        timedelta(seconds=10),
        description="seconds after which others take over the partitions of a silent worker",
    )
    fetch_max_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="most bytes of one answer to a fetch"
    )

    @property
    def sources(self) -> Sources:
        """The names of the source topics."""
        return Sources(**self.topics.model_dump())

    @property
    def kept(self) -> History:
        """How far back a backtest can judge."""
        return History(self.history, self.graph_history)

    def client(self, bootstrap_servers: str | None = None) -> Client:
        """Return what every librdkafka client needs to find a cluster, and to be let in.

        Args:
            bootstrap_servers: Of another cluster, which knows us by the same means.
        """
        servers = bootstrap_servers or self.bootstrap_servers
        return Client({"bootstrap.servers": servers, **self.librdkafka()})


class RedisSettings(RedisIdentity):
    """The Redis-compatible server that holds the facts."""

    url: Annotated[SecretStr, BeforeValidator(_redis_url)] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis, rediss (TLS) or unix; with `noeviction`",
    )
    namespace: str = Field("mw1", min_length=1, description="prefix of every key")

    def client(self) -> dict[str, Any]:
        """Return what `pipeline.adapters.redis_client.connect` needs to reach it."""
        url = self.url.get_secret_value()
        return {"url": url, "access": self.redis(url)}


class HttpSettings(Section):
    """Where health, readiness and metrics are served."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="each worker of a machine needs its own")


class WorkerSettings(Section):
    """How patient a worker is."""

    lease: Seconds = Field(timedelta(seconds=7), description="seconds; below the session time-out")
    commit_interval: Seconds = Field(timedelta(seconds=1), description="seconds")
    stuck_after: Seconds = Field(
        timedelta(seconds=20),
        description="seconds; a partition that does not advance ends the worker",
    )
    stop_within: Seconds = Field(
        timedelta(seconds=18), description="seconds of SIGTERM, at the latest"
    )
    delayed_after: Seconds = Field(
        timedelta(seconds=30),
        description="seconds; what waits longer for its evaluation is told",
    )
    quiet_after: SecondsOrNone = Field(
        timedelta(hours=1),
        description="seconds; a source without a record for longer is told; 0: never",
    )


class LogSettings(Section):
    """What the logs look like."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    format: Literal["json", "console"] = Field(
        "json", description="json for machines, console for people"
    )


class Settings(BaseSettings):
    """Everything that the environment may set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    log: LogSettings = LogSettings()
    policy_file: Path | None = Field(None, description="TOML; without one the defaults hold")


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigError: naming every setting that is wrong or unknown, a line each.
    """
    faults = [f"{name}: no such setting: see `masswatch settings`" for name in _unknown(os.environ)]
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [f"{_name_of(fault['loc'])}: {_says(fault['msg'])}" for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from None
    except SettingsError:  # a whole section at once, which is no setting; it may quote secrets
        raise ConfigError("\n".join(faults)) from None
    faults += _contradictions(settings)
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """Yield what is right by itself and does not fit together."""
    kafka, redis = settings.kafka, settings.redis
    if settings.worker.lease >= kafka.session_timeout:
        yield (
            f"{PREFIX}WORKER__LEASE: not below the session time-out: "
            f"set it under {kafka.session_timeout.total_seconds():g} s"
        )
    yield from kafka.faults(f"{PREFIX}KAFKA__")
    yield from redis.faults(f"{PREFIX}REDIS__", redis.url.get_secret_value())


def is_set(name: str) -> bool:
    """Tell whether the environment sets `MASSWATCH_<name>` to something."""
    return bool(os.environ.get(PREFIX + name))


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with some of Masswatch's settings replaced."""
    return {**os.environ, **{PREFIX + name: value for name, value in settings.items()}}


def every_setting() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of every setting."""
    yield from _settings_of(Settings, PREFIX)


def _settings_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    # Where a server is comes before who we are there, which sections inherit.
    own = model.__annotations__
    for name, field in sorted(model.model_fields.items(), key=lambda one: one[0] not in own):
        if isinstance(field.default, Section):
            yield from _settings_of(type(field.default), f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _shown(field), field.description or ""


def _shown(field: FieldInfo) -> str:
    match default := field.default:
        case None:
            return ""
        case tuple():
            return ",".join(default)
        case timedelta():
            unit = timedelta(days=1) if _IN_DAYS in field.metadata else timedelta(seconds=1)
            return f"{default / unit:g}"
        case SecretStr():  # a default is no secret
            return default.get_secret_value()
        case _:
            return str(default)


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {name for name, _, _ in every_setting()}
    given = (name for name in environment if name.upper().startswith(PREFIX))
    return sorted(name for name in given if name.upper() not in known)


def _name_of(path: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in path)


def _says(message: str) -> str:
    return message.removeprefix("Value error, ")
