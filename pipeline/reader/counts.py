"""What the reader counts, for law 2 and for whoever shows it."""

from dataclasses import dataclass, field

from pipeline.reader.batch import Partition


@dataclass(slots=True)
class PartitionCounts:
    """The values of one partition: fetched = sieved + opened, opened = finished + dropped.

    Finished are those whose batches were acknowledged. The second sum holds at rest: until a batch
    has ended it is neither.
    """

    fetched: int = 0
    sieved: int = 0
    opened: int = 0
    dropped: int = 0
    batches: int = 0


@dataclass(slots=True)
class Counts:
    """What one reader did, or several of which each followed the other; only ever grows.

    Attributes:
        partitions: The values fetched, those that the sieve dropped, those handed out, those of
            batches that were dropped.
        commits: Commits that the coordinator took.
        commits_refused: Commits that it refused, because the partitions had gone to others.
        commits_unanswered: Commits that it did not answer in time; they are sent again.
        take_overs: Assignments that were opened.
        resets: Times that a partition went on elsewhere than where it had been read to.
    """

    partitions: dict[Partition, PartitionCounts] = field(default_factory=dict)
    commits: int = 0
    commits_refused: int = 0
    commits_unanswered: int = 0
    take_overs: int = 0
    resets: int = 0

    def of(self, partition: Partition) -> PartitionCounts:
        """Return the counts of one partition."""
        return self.partitions.setdefault(partition, PartitionCounts())
