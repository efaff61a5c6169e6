import json
import math

import pytest

from plateaus_utils import claims
from plateaus_utils.claims import FAILS, HOLDS, NOT_TESTED, OPEN, Part
from plateaus_utils.errors import ResultError
from plateaus_utils.files import PROJECT
from plateaus_utils.statistics import Interval


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.2, 0.8, HOLDS),  # the interval lies inside the band
        (0.6, 0.9, FAILS),  # wholly below it
        (None, 0.35, FAILS),  # wholly above it
        (0.45, 0.9, OPEN),  # across its edge
        (None, 0.5, OPEN),
        (None, 0.61, HOLDS),
        (0.39, None, HOLDS),
        (None, None, None),  # shown, not judged
    ],
)
def test_a_part_is_judged_by_interval_and_band(low, high, verdict):
    assert Part("x", Interval(0.5, 0.4, 0.59, 100), "", low, high).verdict == verdict


def test_an_unknown_interval_cannot_be_told():
    assert Part("x", Interval(math.nan, math.nan, math.nan, 5), "", 0, 1).verdict == OPEN


def test_a_claim_holds_only_if_all_its_judged_parts_do():
    assert claims.combined([HOLDS, HOLDS]) == HOLDS
    assert claims.combined([HOLDS, OPEN]) == OPEN
    assert claims.combined([OPEN, FAILS, HOLDS]) == FAILS
    assert claims.combined([]) == OPEN


def test_prompts_needed_shrinks_the_interval_to_the_edge():
    # half-width 0.1, distance to the edge 0.05: twice as narrow, so four times the prompts
    assert Part("x", Interval(0.55, 0.45, 0.65, 100), "", 0.5, None).prompts_needed == 400
    assert Part("x", Interval(0.75, 0.65, 0.85, 100), "", 0.5, None).prompts_needed == 16  # fewer would have done
    assert Part("x", Interval(0.55, 0.45, 0.65, 100)).prompts_needed is None  # nothing to settle
    assert (
        Part("x", Interval(0.5, 0.4, 0.6, 100), "", 0.5, None).prompts_needed is None
    )  # on the edge no number is enough


def test_collected_claims_list_what_nothing_tested(tmp_path):
    made = claims.evaluate("C13", [Part("exponent", Interval(2.0, 1.99, 2.01, 120), "", 1.85, 2.15)], "page#fig-x")
    claims.save(tmp_path, made)
    collected = claims.collect(tmp_path)
    assert [c["id"] for c in collected] == list(claims.PUBLISHED)
    assert {c["id"] for c in collected if c["verdict"] != NOT_TESTED} == {"C13"}
    assert all(c["reason"] for c in collected if c["verdict"] == NOT_TESTED)
    on_disk = json.loads((tmp_path / "claims.json").read_text())
    required = {"id", "statement", "source", "published", "value", "interval", "unit", "n", "verdict"}
    assert all(required <= set(c) for c in on_disk)
    assert next(c for c in on_disk if c["id"] == "C13")["interval"] == [1.99, 2.01]


def test_a_withheld_claim_is_listed_with_its_reason_and_without_verdict(tmp_path):
    made = claims.evaluate("(ix)", [Part("difference", Interval(2.0, 1.0, 3.0, 120), "°", 0.0, None)], "page#fig-x")
    claims.save(tmp_path, claims.withheld(made, "there is no SAE"))
    (kept,) = [c for c in claims.collect(tmp_path) if c["id"] == "(ix)"]
    assert kept["verdict"] == NOT_TESTED and kept["value"] == 2.0
    assert "there is no SAE" in claims.untested_table([kept]) and claims.brief(kept) == "not tested: there is no SAE"
    assert "not tested | there is no SAE" in claims.glance([kept])
    assert made["verdict"] == HOLDS
    assert "holds | difference 2.0 [1.0,\N{NO-BREAK SPACE}3.0]° (n = 120)" in claims.glance([made])


def test_infinite_ends_are_written_as_valid_json(tmp_path):
    censored = Interval(math.inf, 40.0, math.inf, 10)
    claims.save(tmp_path, claims.evaluate("C1", [Part("angle", censored, "°", 0.0, None)], "page#fig-x"))
    stored = json.loads((tmp_path / "claims" / "C1.json").read_text())
    assert stored["value"] is None and stored["verdict"] == HOLDS
    assert "beyond the range" in claims.number(stored["parts"][0])


def test_a_damaged_claim_file_is_named(tmp_path):
    claims.save(tmp_path, claims.evaluate("C1", [Part("angle", Interval(1, 0, 2, 3), "°")], "page#fig-x"))
    (tmp_path / "claims" / "C1.json").write_text("{")
    with pytest.raises(ResultError, match=r"C1\.json is damaged"):
        claims.collect(tmp_path)


def test_every_source_is_in_the_bibliography():
    bibliography = (PROJECT / "book" / "references.bib").read_text()
    for published in claims.PUBLISHED.values():
        assert all(f"{{{key}," in bibliography for key in published.source.split(","))


def test_readme_states_every_claim_of_the_report(stated):
    published = [(name, claim.statement) for name, claim in claims.PUBLISHED.items() if name.startswith("(")]
    assert [row[:2] for row in stated] == published
    for _, _, verdict, _, value, low, high in stated:
        assert verdict in (HOLDS, FAILS, OPEN)
        assert low <= value <= high
