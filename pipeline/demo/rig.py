"""Workers, topics and the means to look at them, as one thing that is set up and taken down."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.adapters.alert_reader import AlertReader
from pipeline.adapters.kafka_admin import apply
from pipeline.adapters.kafka_groups import Groups
from pipeline.adapters.kafka_producer import KafkaProducer
from pipeline.config import KafkaSettings
from pipeline.demo.fleet import READY_WITHIN, Launch, Worker, launch, until
from pipeline.localstack import Addresses
from pipeline.wiring import groups_of
from topics.alert import Alert
from topics.catalogue import Sources, catalogue


class Rig:
    """A pipeline on a Kafka and a Redis that have nothing else in them.

    Args:
        addresses: Where Kafka and Redis are.
        folder: For the logs of the workers.
        settings: More settings of the workers, without their prefix.
    """

    def __init__(
        self, addresses: Addresses, folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self.client: Final = addresses.client
        self.workers: Final[list[Worker]] = []
        self._folder = folder
        self._settings = {
            "KAFKA__BOOTSTRAP_SERVERS": addresses.bootstrap_servers,
            "REDIS__URL": addresses.redis_url,
            **(settings or {}),
        }
        self._application = self._settings.get(
            "KAFKA__APPLICATION_ID", KafkaSettings().application_id
        )
        self._sources = Sources()
        self._producer = KafkaProducer(self.client)
        self._groups = Groups(self.client)
        self._alerts: dict[str, Alert] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        apply(catalogue(self._sources), self.client)
        self._reader = self._open.enter_context(AlertReader(self.client))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._groups.close()
        for worker in self.workers:
            worker.stop()

    def start_worker(self, launch: Launch = launch) -> Worker:
        """Start one more worker; it may not be ready yet."""
        log = self._folder / f"worker-{len(self.workers) + 1}.log"
        worker = Worker(self._settings, log, launch)
        self.workers.append(worker)
        return worker

    def wait_until_ready(self, *workers: Worker) -> None:
        """Wait until workers say that they are ready."""
        for worker in workers:
            until(worker.is_ready, f"worker {worker.pid} ready", READY_WITHIN)

    def send(self, values: Iterable[tuple[str, bytes]], partition: int | None = None) -> None:
        """Send values to topics, over all partitions or to one; wait until all are durable."""
        for topic, value in values:
            self._producer.send(topic, value, partition=partition)
        self._producer.flush()

    def is_settled(self) -> bool:
        """Tell whether everything sent so far has been handled, down to the last evaluation."""
        groups = groups_of(self._application, self._sources)
        return all(self._groups.lag(group, topics) == 0 for group, topics in groups.items())

    def new_alerts(self, within: timedelta = timedelta(seconds=0.2)) -> list[Alert]:
        """Return the revisions that have come since the last call; wait a little for the first."""
        return self._kept(self._reader.poll(within))

    def alerts(self) -> dict[str, Alert]:
        """Return the last revision of every alert, of all that is on the topic now."""
        self._kept(self._reader.to_the_end())
        return dict(self._alerts)

    def known_alerts(self) -> list[Alert]:
        """Return the last revision of every alert that has been read so far."""
        return list(self._alerts.values())

    def _kept(self, came: list[Alert]) -> list[Alert]:
        self._alerts.update((alert.alert_id, alert) for alert in came)
        return came
