import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from builders import (
    DANA,
    MONDAY,
    TENANT,
    a_behavior,
    a_graph_request,
    a_risk,
    an_assignment,
    shifted,
)

from pipeline.backtest.result import (
    Answer,
    Backtest,
    Change,
    Difference,
    Faults,
    Judged,
    NamedPolicy,
    Read,
    ordered,
)
from pipeline.core.errors import ConfigError
from pipeline.core.evaluate import evaluate
from pipeline.core.model import Assignment, Evidence, Position
from pipeline.core.policy import Policy, Severities, Severity, TenantPolicy
from pipeline.core.window import Window, Windows
from pipeline.report import page as page_module
from pipeline.report.charts import NARROW, by_tenant, days_per_bin, over_time, svg_of
from pipeline.report.figures import Days, figures_of
from pipeline.report.page import page_of, write_page
from pipeline.report.timeline import STEPS_AT_MOST, span_in_words, timeline_of

EVIL = "</svg></text><script>alert('&\"')</script>"
HOUR = timedelta(hours=1)
WINDOW = Windows().evidence


def judged(
    assignment: Assignment, *evidence: Evidence, severity: Severity = Severity.LOW
) -> Judged:
    policy = Policy(everywhere=TenantPolicy(Severities(severity, severity)))
    return Judged(evaluate([assignment], evidence, policy))


def a_backtest(*alerts: Judged, sources: tuple[str, ...] = ("audit",)) -> Backtest:
    answer = Answer(NamedPolicy("defaults", Policy()), ordered(alerts))
    return Backtest(sources, None, None, Read(), (answer,))


def an_alert(number: int = 0, severity: Severity = Severity.LOW) -> Judged:
    made = an_assignment(
        at=shifted(MONDAY, number * HOUR), event_id=f"event {number}", delegated=True
    )
    return judged(made, severity=severity)


def text_of(backtest: Backtest) -> str:
    return page_of(backtest).decode()


class Elements(HTMLParser):
    """The elements of a page, by name, and what they hold open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.seen}


def test_texts_of_records_stay_text_wherever_they_stand() -> None:
    made = replace(
        an_assignment(
            tenant=EVIL,
            event_id=EVIL,
            identity=EVIL,
            upn=EVIL,
            app=EVIL,
            operation=EVIL,
            correlation_id=EVIL,
            target_types=(EVIL,),
        )
    )
    evidence = (
        replace(a_risk(tenant=EVIL, upn=EVIL), level=EVIL),
        a_behavior(tenant=EVIL, upn=EVIL, action_type=EVIL, behavior_id=EVIL),
        a_graph_request(
            tenant=EVIL, client_request_id=EVIL, ip=EVIL, uri=f"/deviceAppManagement/{EVIL}"
        ),
    )
    alert = judged(made, *evidence)
    verdict = alert.verdict
    assert len(verdict.risk + verdict.behaviors + verdict.graph) == 3
    named = NamedPolicy(EVIL, Policy())
    answers = (Answer(named, (alert,), (alert,)), Answer(named, (), (alert,)))
    gone = Difference(Change.GONE, made.id, verdict, verdict, (EVIL,), (EVIL,))
    read = Read(malformed=(Faults(EVIL, 1, Position(EVIL, 0, 0)),))
    backtest = Backtest((EVIL,), None, None, read, answers, ((gone,),), (EVIL,))

    page = text_of(backtest)

    assert Elements(page).names.isdisjoint({"script", "iframe", "object", "img", "link"})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 20


def test_a_tenant_stays_text_in_the_chart_of_tenants() -> None:
    tenant = "<script>x</script>"
    backtest = a_backtest(judged(an_assignment(tenant=tenant, delegated=True)))

    svg = svg_of(by_tenant(figures_of(backtest, backtest.answers[0]).by_tenant, NARROW))

    assert ">&lt;script&gt;…</text>" in svg
    assert "<script" not in svg


def test_the_page_refers_to_nothing_outside_of_itself() -> None:
    page = text_of(a_backtest(an_alert()))

    attributes = [of for _, of in Elements(page).seen]
    assert not [of for of in attributes if of.keys() & {"src", "href", "srcset", "action"}]
    assert not re.search(r"@import|url\(", page)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page


def test_the_same_backtest_gives_the_same_bytes_in_any_time_zone_and_process(
    tmp_path: Path,
) -> None:
    backtest = a_backtest(*(an_alert(number * 24) for number in range(40)))
    script = tmp_path / "again.py"
    script.write_text(
        "import sys; sys.path += sys.argv[1:]\n"
        "from test_page import a_backtest, an_alert, page_of\n"
        "alerts = (an_alert(number * 24) for number in range(40))\n"
        "sys.stdout.buffer.write(page_of(a_backtest(*alerts)))\n"
    )
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), str(here.parents[1])]

    again = subprocess.run(
        [sys.executable, script, *paths],
        env=os.environ | {"TZ": "America/New_York", "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )

    assert again.stdout == page_of(backtest)


def test_a_page_without_alerts_says_so() -> None:
    page = text_of(a_backtest())

    assert "Masswatch would have raised no alert." in page
    assert "<svg" not in page


def test_the_summary_tells_a_manager_how_much_and_how_severe() -> None:
    alerts = (an_alert(0), an_alert(1, Severity.HIGH), an_alert(24 * 9))

    page = text_of(replace(a_backtest(*alerts), since=MONDAY))

    assert (
        "In 10 days, Masswatch would have raised 3 alerts for 1 tenant: 1 high and 2 low." in page
    )
    assert "On half of the days there was none" in page


def test_warnings_stand_above_the_figures() -> None:
    page = text_of(replace(a_backtest(an_alert()), warnings=("audit: cut off",)))

    assert page.index("audit: cut off") < page.index('class="cards"') < page.index("<main>")


def test_more_alerts_than_a_page_has_room_for_leave_out_the_least_severe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_module, "ALERTS_AT_MOST", 3)
    severities = [Severity.LOW, Severity.HIGH, Severity.LOW, Severity.LOW, Severity.MEDIUM]
    alerts = [an_alert(number, severity) for number, severity in enumerate(severities)]

    page = text_of(a_backtest(*alerts))

    shown = re.findall(r"<dd><bdi>(event \d)</bdi>", page)
    assert shown == ["event 1", "event 3", "event 4"]
    assert "2 alerts are left out" in page


def test_a_difference_tells_its_change_and_its_causes() -> None:
    alert, quiet = an_alert(), judged(an_assignment(event_id="event 0"))
    before = a_backtest(alert)
    after = Answer(NamedPolicy("next.toml", Policy()), quiet=1)
    of = alert.verdict.assignment.id
    gone = Difference(Change.GONE, of, alert.verdict, quiet.verdict, ("windows.before",))
    backtest = replace(before, answers=(*before.answers, after), differences=((gone,),))

    page = text_of(backtest)

    assert "0 are new, 1 is gone, 0 are changed." in page
    assert '<th scope="row"><bdi>windows.before</bdi></th><td class="number">1</td>' in page


def test_malformed_records_are_counted_with_the_first_of_each_reason() -> None:
    faults = (
        Faults("not JSON", 3, Position("intune.audit.v1", 2, 17, 4)),
        Faults("no tenant", 1_200, Position("intune.audit.v1", 0, 1)),
    )

    page = text_of(replace(a_backtest(), read=Read(malformed=faults)))

    assert "<dt>malformed records</dt><dd>1,203</dd>" in page
    assert "intune.audit.v1[2]@17#4" in page


def test_the_time_line_places_evidence_between_the_ends_of_the_window() -> None:
    verdict = judged(
        an_assignment(),
        a_risk(at=shifted(MONDAY, -timedelta(days=14))),
        a_risk(at=shifted(MONDAY, timedelta(hours=48))),
        a_behavior(at=shifted(MONDAY, -timedelta(days=6))),
    ).verdict

    timeline = timeline_of(verdict, WINDOW)

    assert (timeline.before, timeline.after, timeline.assigned_at) == ("14 d", "48 h", 87.5)
    assert [(lane.kind, lane.dots) for lane in timeline.lanes] == [
        ("risk", (0.0, 100.0)),
        ("behavior", (50.0,)),
    ]
    assert [step.distance for step in timeline.steps] == [
        "14 d before",
        "6 d before",
        "the assignment",
        "2 d after",
    ]


def test_a_window_of_no_width_still_has_a_time_line() -> None:
    timeline = timeline_of(an_alert().verdict, Window(timedelta(), timedelta()))

    assert timeline.assigned_at == 0.0


def test_of_much_evidence_the_nearest_is_listed_and_what_counts_before_graph_requests() -> None:
    requests = [a_graph_request(request_id=str(number)) for number in range(STEPS_AT_MOST + 5)]
    far = a_risk(at=shifted(MONDAY, -timedelta(days=13)))

    timeline = timeline_of(judged(an_assignment(), far, *requests).verdict, WINDOW)

    assert timeline.left_out == 6
    assert timeline.steps[0].kind == "risk"
    assert [(lane.facts, len(lane.dots)) for lane in timeline.lanes] == [(1, 1), (30, 1)]


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(days=14), "14 d"),
        (timedelta(days=1, minutes=5), "1 d"),
        (timedelta(minutes=14, seconds=5), "14 min 5 s"),
        (timedelta(microseconds=5), "under 1 s"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(span: timedelta, words: str) -> None:
    assert span_in_words(span) == words


@pytest.mark.parametrize("days", [1, 90, 400, 4_000, 3_652_059])
def test_a_chart_over_time_has_bars_that_can_be_seen(days: int) -> None:
    first = date.fromordinal(date.max.toordinal() - days + 1)
    span = Days(first, date.max)

    step = days_per_bin(span, NARROW)

    assert NARROW / (days / step) >= 7
    assert step == 1 or step % 7 == 0


def test_a_chart_over_time_can_reach_to_the_end_of_the_calendar() -> None:
    backtest = a_backtest(an_alert())
    by_day = figures_of(backtest, backtest.answers[0]).by_day

    svg = svg_of(over_time(by_day, Days(date.min, date.max), NARROW))

    assert "NaN" not in svg


@pytest.mark.parametrize("missing", ["jinja2", "vl_convert"])
def test_a_library_that_is_not_installed_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ConfigError, match=rf'{missing}: not installed: pip install "masswatch\['):
        page_of(a_backtest(an_alert()))


def test_a_page_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory: name a file"):
        write_page(tmp_path / "nowhere" / "page.html", a_backtest())


def test_a_source_whose_name_is_no_text_does_not_spoil_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"

    write_page(path, a_backtest(sources=("audit\udcff.jsonl",)))

    assert "audit?.jsonl" in path.read_text(encoding="utf-8")


def test_text_that_turns_the_direction_of_writing_stays_in_its_place() -> None:
    turned = "\u202egro.elpmaxe@anad"

    page = text_of(a_backtest(judged(an_assignment(upn=turned, identity=DANA, delegated=True))))

    assert page.count(f"<bdi>{turned}</bdi>") == page.count(turned) > 0
    assert TENANT in page
