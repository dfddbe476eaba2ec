import json

from builders import a_graph_request, a_risk, an_assignment

from pipeline.core.evidence import GRAPH_PATH_THAT_COUNTS
from pipeline.sources.bounds import LONGEST, bounded


def test_a_text_that_looks_like_a_cut_one_is_no_other_tenants() -> None:
    long = bounded(a_risk(upn="u" * 600))

    like_it = bounded(a_risk(upn=long.upn))

    assert like_it.upn != long.upn


def test_a_fact_of_usual_texts_stays_the_very_same() -> None:
    risk = a_risk(upn="u" * LONGEST)

    assert bounded(risk) is risk


def test_longer_texts_are_cut_and_different_ones_stay_different() -> None:
    one, other = (bounded(a_risk(upn="u" * 900_000 + end)) for end in "ab")

    assert len(one.upn) == LONGEST
    assert one.upn != other.upn
    assert one == bounded(a_risk(upn="u" * 900_000 + "a"))


def test_the_texts_of_an_actor_are_cut_too() -> None:
    assignment = an_assignment(upn="u" * 5_000)

    assert len(bounded(assignment).actor.upn) == LONGEST


def test_a_long_uri_keeps_the_path_that_counts_wherever_it_stands() -> None:
    uri = "https://graph.example.org/" + "x" * 9_000 + "/deviceAppManagement/mobileApps"

    kept = bounded(a_graph_request(uri=uri)).uri

    assert len(kept) <= LONGEST
    assert GRAPH_PATH_THAT_COUNTS in kept.lower()


def test_a_long_uri_without_the_path_keeps_its_beginning() -> None:
    kept = bounded(a_graph_request(uri="https://graph.example.org/" + "x" * 9_000)).uri

    assert kept.startswith("https://graph.example.org/")


def test_texts_are_measured_as_they_stand_in_json() -> None:
    for hostile in ("é" * 500, "\x00" * 200, "😀" * 300, '"' * 400):
        kept = bounded(a_risk(upn=hostile)).upn

        assert len(json.dumps(kept, ensure_ascii=False).encode()) - 2 <= LONGEST
        assert kept != hostile
