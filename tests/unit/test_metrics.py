from pipeline.adapters.metrics import Membership, Metrics, Values, Wait


def text_of(values: list[Values], memberships: list[Membership]) -> list[str]:
    metrics = Metrics("1")
    metrics.watch(lambda: values, lambda: memberships)
    return metrics.text().decode().splitlines()


def test_every_fate_of_a_value_and_the_lag_are_told_by_partition() -> None:
    lines = text_of(
        [Values("t", 3, fetched=10, sieved=7, opened=3, dropped=1, lag=5)], memberships=[]
    )

    place = '{partition="3",topic="t"}'
    for fate, count in (("fetched", 10), ("sieved", 7), ("opened", 3), ("dropped", 1)):
        assert f"masswatch_values_{fate}_total{place} {count}.0" in lines
    assert f"masswatch_lag{place} 5.0" in lines


def test_a_lag_that_is_not_known_is_not_told() -> None:
    lines = text_of(
        [Values("t", 3, fetched=0, sieved=0, opened=0, dropped=0, lag=None)], memberships=[]
    )

    assert not [line for line in lines if line.startswith("masswatch_lag{")]


def test_how_an_agent_fares_in_its_group_is_told() -> None:
    audit = Membership(
        "audit", take_overs=1, commits=2, commits_refused=3, commits_unanswered=4, resets=5
    )

    lines = text_of([], [audit])

    assert 'masswatch_take_overs_total{agent="audit"} 1.0' in lines
    for answer, count in (("taken", 2), ("refused", 3), ("none", 4)):
        assert f'masswatch_commits_total{{agent="audit",answer="{answer}"}} {count}.0' in lines
    assert 'masswatch_position_resets_total{agent="audit"} 5.0' in lines


def test_one_policy_is_told_as_the_one_in_force() -> None:
    metrics = Metrics("1")

    metrics.policy_in_force("former")
    metrics.policy_in_force("new")

    lines = metrics.text().decode().splitlines()
    assert [line for line in lines if line.startswith("masswatch_policy_info")] == [
        'masswatch_policy_info{digest="new"} 1.0'
    ]


def test_how_readings_of_the_policy_ended_is_counted_from_nothing() -> None:
    metrics = Metrics("1")

    metrics.policy_reload_ended("refused")

    lines = metrics.text().decode().splitlines()
    for end, count in (("reloaded", 0), ("unchanged", 0), ("refused", 1)):
        assert f'masswatch_policy_reloads_total{{end="{end}"}} {count}.0' in lines


def test_how_long_an_agent_has_been_waiting_is_told_when_it_is_asked() -> None:
    metrics, seconds = Metrics("1"), [12.5]
    metrics.watch(lambda: (), lambda: (), lambda: [Wait("audit", seconds[0])])
    waiting = metrics.text().decode().splitlines()

    seconds[0] = 0.0

    assert 'masswatch_held_seconds{agent="audit"} 12.5' in waiting
    assert 'masswatch_held_seconds{agent="audit"} 0.0' in metrics.text().decode().splitlines()
