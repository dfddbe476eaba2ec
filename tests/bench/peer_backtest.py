"""One process of the backtest over a whole topic, as a process of its own.

Called with servers, topic, group (not used) and number of values. What is measured begins when
the slice has been found, as the peers begin when they have their partitions.
"""

import sys
import time

from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_topics
from pipeline.core.policy import Policy

from .measure import own_cpu
from .result import Used, hand_over


def main() -> None:
    servers, topic, _, values = sys.argv[1:]
    question = Question((NamedPolicy("defaults", Policy()),))
    client = {"bootstrap.servers": servers}
    found = slice_of_topics(client, [topic], question, frozenset())
    began = Used(own_cpu(), time.perf_counter())
    read = run(found, question).read
    ended = Used(own_cpu(), time.perf_counter())
    assert read.values == int(values)
    hand_over(began, ended, records=read.values, hits=read.records)


if __name__ == "__main__":
    main()
