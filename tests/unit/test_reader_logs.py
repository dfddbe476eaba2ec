import logging

import aiokafka

from pipeline.reader.logs import Throttle, throttle_aiokafka


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_line(template: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka.client", logging.ERROR, "", 0, template, arguments, None)


def test_lines_of_a_kind_pass_once_in_an_interval_and_the_next_says_how_many_did_not() -> None:
    clock = Clock()
    throttle = Throttle(10.0, clock)

    passed = [throttle.filter(a_line("no answer from %s", node)) for node in range(5)]
    other = throttle.filter(a_line("something else"))
    clock.now = 10.0
    late = a_line("no answer from %s", 7)

    assert passed == [True, False, False, False, False]
    assert other
    assert throttle.filter(late)
    assert late.getMessage() == "no answer from 7 (4 more like this were kept back)"


def test_every_module_of_aiokafka_is_throttled_once() -> None:
    throttle_aiokafka()
    throttle_aiokafka()

    for name in (aiokafka.__name__, "aiokafka.client", "aiokafka.consumer.fetcher"):
        filters = logging.getLogger(name).filters
        assert sum(isinstance(each, Throttle) for each in filters) == 1
