"""The page of a simulated quarter, opened in a real browser without a network."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.backtest.batch import Joined, judge
from pipeline.backtest.compare import difference
from pipeline.backtest.result import (
    Answer,
    Backtest,
    Faults,
    Judged,
    NamedPolicy,
    Read,
    ordered,
)
from pipeline.core.event_time import EventTime, ticks
from pipeline.core.model import AssignmentId, Fact, Position
from pipeline.core.policy import AllowEntry, Policy, Reason
from pipeline.core.verdict import Outcome, Verdict
from pipeline.core.window import Window, Windows
from pipeline.report.figures import decided_after
from pipeline.report.page import write_page
from pipeline.simulate.simulation import Plan, Simulation, generate
from pipeline.simulate.tenants import PARTNER_TENANT
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Malformed
from pipeline.sources.sieve import Sieve

SCREENSHOTS = Path(__file__).parents[2] / ".masswatch" / "test"
QUARTER = Plan(
    seed=4, tenants=12, audit_events=18_000, duration=timedelta(days=90), malformed=9, story=True
)
SHORTER = Windows(evidence=Window(before=timedelta(days=7), after=timedelta(hours=24)))
SECTIONS = (
    "Alerts",
    "Noise forecast",
    "How late the deciding evidence came",
    "What the allow-list hid",
    "Compared with other policies",
    "What was read",
    "How to read this page",
)


@dataclass(slots=True)
class Reading:
    """What is in the values of a simulation."""

    facts: set[Fact] = field(default_factory=set)
    malformed: dict[str, Faults] = field(default_factory=dict)
    values: int = 0
    opened: int = 0
    records: int = 0

    def take(self, simulation: Simulation) -> None:
        sieve, decode = Sieve(), Decoder()
        for offset, arrival in enumerate(simulation):
            self.values += 1
            if not sieve.admits(arrival.value):
                continue
            self.opened += 1
            for record in decode(arrival.value):
                self.records += 1
                if isinstance(record.decoded, Malformed):
                    position = Position(arrival.kind, 0, offset, record.index)
                    self._malformed(record.decoded.reason, position)
                elif isinstance(record.decoded, Fact):
                    self.facts.add(record.decoded)

    def _malformed(self, reason: str, position: Position) -> None:
        before = self.malformed.get(reason, Faults(reason, 0, position))
        self.malformed[reason] = replace(before, records=before.records + 1)


def a_quarter() -> Backtest:
    """Judge a simulated quarter by two policies."""
    simulation = generate(QUARTER)
    reading = Reading()
    reading.take(simulation)
    since, until = QUARTER.start, EventTime(QUARTER.start + ticks(QUARTER.duration))
    policy = Policy(allow_list=allow_list(since, until))
    shorter = replace(policy, windows=SHORTER)
    joined = Joined(reading.facts)
    found = [
        one
        for of in joined
        if (one := difference(joined.variants(of), joined.evidence(of), policy, shorter))
    ]
    return Backtest(
        sources=("intune.audit.v1", "defender.identity-info.v1", "defender.behavior-entities.v1"),
        since=since,
        until=until,
        read=Read(
            values=reading.values,
            opened=reading.opened,
            records=reading.records,
            facts=len(reading.facts),
            malformed=tuple(reading.malformed.values()),
        ),
        answers=tuple(
            an_answer(name, by, judge(reading.facts, by))
            for name, by in (("current.toml", policy), ("shorter-windows.toml", shorter))
        ),
        differences=(tuple(sorted(found, key=lambda one: one.after.event_time)),),
        warnings=("graph.activity.v1: its first record is of 2026-05-01: earlier ones are gone",),
    )


def an_answer(name: str, policy: Policy, verdicts: dict[AssignmentId, Verdict]) -> Answer:
    of: dict[Outcome, list[Judged]] = {outcome: [] for outcome in Outcome}
    for verdict in verdicts.values():
        of[verdict.outcome].append(Judged(verdict, known_at=arrival(verdict)))
    return Answer(
        by=NamedPolicy(name, policy),
        alerts=ordered(of[Outcome.ALERT]),
        withheld=ordered(of[Outcome.WITHHELD]),
        quiet=len(of[Outcome.QUIET]),
    )


def arrival(verdict: Verdict) -> int | None:
    """Let records arrive 20 s to 20 min after what they tell of."""
    if verdict.outcome is not Outcome.ALERT:
        return None
    late = timedelta(seconds=20 + int(verdict.digest[:4], 16) % 1_200)
    return (verdict.event_time + ticks(decided_after(verdict) + late)) // 10_000


def allow_list(since: EventTime, until: EventTime) -> tuple[AllowEntry, ...]:
    """Expect the partner of the simulation until April ends, and another that never comes."""
    usual = AllowEntry(
        name="rollouts of our partner",
        reasons=frozenset({Reason.DELEGATED_ADMIN}),
        owner="soc@example.org",
        cause="CHG-2107: monthly rollouts",
        since=since,
        until=EventTime(since + (until - since) * 2 // 3),
        partner_tenant_id=PARTNER_TENANT,
    )
    nobody = "00000000-1111-4222-8333-444444444444"
    return usual, replace(
        usual, name="former partner", partner_tenant_id=nobody, cause="CHG-1984: migration"
    )


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Backtest]:
    path, backtest = tmp_path_factory.mktemp("page") / "report.html", a_quarter()
    write_page(path, backtest)
    return path, backtest


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


@dataclass(slots=True)
class Opened:
    """The page in a browser, what it asked for and what it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def opened(browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light") -> Opened:
    context = browser.new_context(
        offline=True,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    one = Opened(context.new_page())
    one.page.on("request", lambda request: one.requests.append(request.url))
    one.page.on("console", lambda message: one.complaints.append(message.text))
    one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
    one.page.goto(path.as_uri())
    return one


def test_the_page_asks_for_nothing_but_itself_and_complains_of_nothing(
    browser: Browser, quarter: tuple[Path, Backtest]
) -> None:
    path, _ = quarter

    one = opened(browser, path)

    assert one.requests == [path.as_uri()]
    assert one.complaints == []


def test_every_section_and_chart_can_be_seen(
    browser: Browser, quarter: tuple[Path, Backtest]
) -> None:
    path, _ = quarter

    page = opened(browser, path).page

    for section in SECTIONS:
        assert page.get_by_role("heading", name=section, exact=True).is_visible(), section
    assert page.get_by_text("its first record is of 2026-05-01").is_visible()
    shown = [one for one in page.locator("figure .chart svg").all() if one.is_visible()]
    assert len(shown) == page.locator("figure").count() == 6
    for chart in shown:
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 50


def test_an_alert_shows_its_evidence_once_it_is_opened(
    browser: Browser, quarter: tuple[Path, Backtest]
) -> None:
    path, backtest = quarter
    page = opened(browser, path).page
    judged = next(one for one in backtest.answers[0].alerts if one.verdict.behaviors)
    body = page.locator(f'[id="{judged.verdict.alert_id}"]')
    assert not body.is_visible()

    page.locator("details.alert", has=body).locator("summary").click()

    assert body.get_by_text(judged.verdict.assignment.audit_event_id).is_visible()
    assert body.get_by_text(judged.verdict.behaviors[0].action_type).first.is_visible()
    dot = body.locator(".lane.behavior i").first.bounding_box()
    assert dot is not None
    assert dot["width"] > 5


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_runs_out_of_the_page_at_the_side(
    browser: Browser, quarter: tuple[Path, Backtest], width: int
) -> None:
    page = opened(browser, quarter[0], width=width).page
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")

    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    assert overflow <= 0


def test_a_closed_alert_is_read_on_paper_too(
    browser: Browser, quarter: tuple[Path, Backtest]
) -> None:
    page = opened(browser, quarter[0]).page

    page.emulate_media(media="print")

    assert page.locator("details.alert .body").first.bounding_box() is not None


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("report", 1280, "light"), ("report-dark", 1280, "dark"), ("report-phone", 390, "light")],
)
def test_a_screenshot_is_left_to_look_at(
    browser: Browser,
    quarter: tuple[Path, Backtest],
    capsys: pytest.CaptureFixture[str],
    name: str,
    width: int,
    scheme: str,
) -> None:
    page = opened(browser, quarter[0], width=width, scheme=scheme).page
    page.locator("details.alert.medium").first.locator("summary").click()
    path = SCREENSHOTS / f"{name}.png"

    page.screenshot(path=path, full_page=True)

    assert path.stat().st_size > 50_000
    with capsys.disabled():
        print(f"\nscreenshot: {path}")  # noqa: T201
