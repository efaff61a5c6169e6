import json
import math
import re

import pytest
import xarray as xr

from plateaus_utils import claims
from plateaus_utils.book import verdicts
from plateaus_utils.claims import FAILS, HOLDS, NOT_TESTED, OPEN, Judge
from plateaus_utils.errors import BookError, ParameterError, ResultError
from plateaus_utils.files import PROJECT


def estimate(value=0.5, low=0.4, high=0.59, n=100):
    return xr.Dataset({"value": value, "low": low, "high": high, "n": n, "n_documents": n})


@pytest.fixture
def registry(monkeypatch):
    """A registry of three claims: one by itself, one that repeats it in full, one that repeats a part of it."""
    entry = {"statement": "It is so.", "source": "key", "published": "1", "figure": "page#fig-x"}
    parts = {"first": {"name": "number", "band": [0.2, 0.8]}, "second": {"name": "other", "unit": "°", "gpt2": [0, 1]}}
    found = {
        "C1": entry | {"parts": parts},
        "(i)": entry | {"same_as": "C1", "statement": "It is so, too.", "parts": parts},
        "(v)": entry | {"same_as": "C1", "parts": {"first": {"name": "renamed", "band": [0.6, None]}}},
        "C9": {"statement": "x", "source": "key", "published": "1", "needs": "needs a model"},
        "C10": entry | {"parts": parts},
    }
    monkeypatch.setattr(claims, "published", lambda: found)
    return found


@pytest.mark.parametrize(
    ("band", "verdict"),
    [
        ([0.2, 0.8], HOLDS),  # the interval lies inside the band
        ([0.6, 0.9], FAILS),  # wholly below it
        ([None, 0.35], FAILS),  # wholly above it
        ([0.45, 0.9], OPEN),  # across its edge
        ([None, 0.5], OPEN),
        ([None, 0.61], HOLDS),
        ([0.39, None], HOLDS),
        ([None, None], None),  # shown, not judged
    ],
)
def test_a_part_is_judged_by_interval_and_band(registry, band, verdict):
    registry["C1"]["parts"]["first"]["band"] = band
    judged = claims.evaluate("C1", {"first": estimate(), "second": estimate()}, is_gpt2=False)
    assert judged["parts"][0]["verdict"] == verdict
    assert judged["verdict"] == (verdict or OPEN)


def test_an_unknown_interval_cannot_be_told(registry):
    unknown = estimate(math.nan, math.nan, math.nan)
    assert claims.evaluate("C1", {"first": unknown, "second": unknown}, False)["verdict"] == OPEN


def test_bands_of_gpt2_small_apply_to_it_alone(registry):
    given = {"first": estimate(), "second": estimate(7, 6, 8)}
    assert claims.evaluate("C1", given, is_gpt2=True)["parts"][1]["verdict"] == FAILS
    assert claims.evaluate("C1", given, is_gpt2=False)["parts"][1]["verdict"] is None


def test_a_band_of_chance_widens_with_fewer_prompts(registry):
    registry["C1"]["parts"]["first"] = {"name": "share", "chance": 0.5}
    verdict = {n: claims.evaluate("C1", {"first": estimate(0.6, 0.55, 0.65, n), "second": estimate()}, False)["verdict"]
               for n in (10, 100_000)}  # fmt: skip
    assert verdict == {10: HOLDS, 100_000: FAILS}


def test_a_claim_holds_only_if_all_its_judged_parts_do():
    assert claims.combined([HOLDS, HOLDS]) == HOLDS
    assert claims.combined([HOLDS, OPEN]) == OPEN
    assert claims.combined([OPEN, FAILS, HOLDS]) == FAILS
    assert claims.combined([]) == OPEN


@pytest.mark.parametrize(
    ("found", "band", "needed"),
    [
        (estimate(0.55, 0.45, 0.65), [0.5, None], 400),  # half-width 0.1, distance 0.05: four times the prompts
        (estimate(0.75, 0.65, 0.85), [0.5, None], 16),  # fewer would have done
        (estimate(0.55, 0.45, 0.65), [None, None], None),  # nothing to settle
        (estimate(0.5, 0.4, 0.6), [0.5, None], None),  # on the edge no number is enough
    ],
)
def test_prompts_needed_shrinks_the_interval_to_the_edge(registry, found, band, needed):
    registry["C1"]["parts"]["first"]["band"] = band
    part = claims.evaluate("C1", {"first": found, "second": estimate()}, False)["parts"][0]
    assert part["prompts_needed"] == needed


@pytest.mark.parametrize("given", [("first",), ("first", "second", "third"), ("first", "secnd"), ()])
def test_missing_and_extra_parts_are_refused(registry, tmp_path, refused, given):
    with refused(ParameterError, "The parts of C1 are first, second", "given were"):
        Judge("m", tmp_path, {})("C1", **{name: estimate() for name in given})
    assert not (tmp_path / "claims").exists()


@pytest.mark.parametrize("claim", ["C99", "C9"])
def test_a_claim_without_parts_cannot_be_judged(registry, tmp_path, refused, claim):
    with refused(ParameterError, claim, "claims.yaml"):
        Judge("m", tmp_path, {})(claim, first=estimate())


def test_a_part_is_a_single_number(registry, tmp_path, refused):
    many = estimate().expand_dims(base=["real", "random"])
    with refused(ParameterError, "needs one estimate", "base"):
        Judge("m", tmp_path, {})("C1", first=many, second=estimate())


def test_claims_that_repeat_another_one_are_judged_with_it(registry, tmp_path):
    judge = Judge("m", tmp_path, {"seed": 0})
    judge("C1", first=estimate(), second=estimate(0.7, 0.65, 0.8).assign_attrs(of="SAE"))
    assert [claim["id"] for claim in judge.judged] == ["C1", "(i)", "(v)"]
    full, same, part = judge.judged
    assert same["statement"] == "It is so, too." and same["parts"] == full["parts"]
    assert full["parts"][1]["name"] == "other, SAE"
    assert [p["name"] for p in part["parts"]] == ["renamed"] and part["verdict"] == FAILS


def test_collected_claims_list_what_nothing_tested(registry, tmp_path):
    Judge("m", tmp_path, {})("C1", first=estimate(), second=estimate())
    collected = claims.collect(tmp_path)
    assert [c["id"] for c in collected] == list(registry)
    reasons = {c["id"]: c["reason"] for c in collected if c["verdict"] == NOT_TESTED}
    assert reasons == {"C9": "needs a model", "C10": "its chapter has not been run with these settings"}
    on_disk = json.loads((tmp_path / "claims.json").read_text())
    required = {"id", "statement", "source", "published", "value", "interval", "unit", "n", "verdict"}
    assert all(required <= set(c) for c in on_disk)
    assert on_disk[0]["interval"] == [0.4, 0.59]


def test_a_withheld_claim_is_listed_with_its_reason_and_without_verdict(registry, tmp_path):
    Judge("m", tmp_path, {}, withheld="there is no SAE")("C1", first=estimate(), second=estimate())
    kept = claims.collect(tmp_path)[1]
    assert kept["verdict"] == NOT_TESTED and kept["value"] == 0.5
    assert "there is no SAE" in verdicts.untested([kept]) and verdicts.brief(kept) == "not tested: there is no SAE"
    assert "not tested | there is no SAE" in verdicts.glance([kept])


def test_infinite_ends_are_written_as_valid_json(registry, tmp_path):
    Judge("m", tmp_path, {})("C1", first=estimate(math.inf, 0.3, math.inf), second=estimate())
    stored = json.loads((tmp_path / "claims" / "C1.json").read_text())
    assert stored["value"] is None and stored["parts"][0]["verdict"] == OPEN
    assert "beyond the range" in verdicts.number(stored["parts"][0])


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: edited(path, verdict=FAILS),
        lambda path: edited(path, value=0.51),
        lambda path: edited(path, key="x"),
    ],
    ids=["cut", "other JSON", "verdict edited", "value edited", "key edited"],
)
def test_a_damaged_or_edited_claim_file_is_named(registry, tmp_path, refused, damage):
    Judge("m", tmp_path, {})("C1", first=estimate(), second=estimate())
    damage(tmp_path / "claims" / "C1.json")
    with refused(ResultError, "C1.json", "run its chapter again"):
        claims.collect(tmp_path)


def test_claims_carry_the_key_of_what_made_them(registry, tmp_path):
    keys = []
    for made_by in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        Judge("m", tmp_path, made_by)("C1", first=estimate(), second=estimate())
        keys.append(json.loads((tmp_path / "claims" / "C1.json").read_text())["key"])
    assert keys[0] == keys[1] != keys[2]


# The registry ---------------------------------------------------------------------------------------------------------


def test_every_source_is_in_the_bibliography():
    bibliography = (PROJECT / "book" / "references.bib").read_text()
    for published in claims.published().values():
        assert all(f"{{{key}," in bibliography for key in published["source"].split(","))


@pytest.mark.parametrize("claim", claims.published())
def test_registry_entries_say_all_that_is_needed(claim):
    entry = claims.published()[claim]
    assert set(entry) <= {"statement", "source", "published", "figure", "parts", "same_as", "needs"}
    assert ("parts" in entry) == ("figure" in entry) and not ("parts" in entry and "needs" in entry)
    for part in entry.get("parts", {}).values():
        assert set(part) <= {"name", "unit", "band", "gpt2", "chance"}
        for band in (part.get("band"), part.get("gpt2")):
            assert band is None or (len(band) == 2 and band != [None, None])
            assert band is None or None in band or band[0] < band[1]
    if "same_as" in entry:
        assert set(entry["parts"]) <= set(claims.published()[entry["same_as"]]["parts"])


def test_no_statement_is_typed_outside_the_registry():
    pages = [
        *(PROJECT / "notebooks").glob("*.py"),
        *(PROJECT / "plateaus_utils").rglob("*.py"),
        PROJECT / "book" / "index.md",
    ]
    texts = {page: page.read_text() for page in pages}
    for entry in claims.published().values():
        assert not [page.name for page, text in texts.items() if entry["statement"] in text]


# README ---------------------------------------------------------------------------------------------------------------


def test_readme_states_every_claim_of_the_report(stated):
    published = [(name, c["statement"]) for name, c in claims.published().items() if name.startswith("(")]
    assert [row[:2] for row in stated] == published
    for _, _, verdict, _, value, low, high in stated:
        assert verdict in (HOLDS, FAILS, OPEN)
        assert low <= value <= high


def test_readme_is_written_between_its_marks_and_nowhere_else(registry, tmp_path):
    Judge("m", tmp_path, {})("C1", first=estimate(), second=estimate())
    readme = (PROJECT / "README.md").read_text()
    written = verdicts.readme_with(claims.collect(tmp_path), readme)
    assert "| (i) | It is so, too. | holds | number 0.50 [0.40," in written
    assert "Of 5 statements, the report's and those of later work, 2 hold, 1 do not hold, 0 cannot be told" in written
    outside = re.compile(re.escape(verdicts.START) + ".*" + re.escape(verdicts.END), re.DOTALL)
    assert outside.sub("", written) == outside.sub("", readme)
    assert verdicts.readme_with(claims.collect(tmp_path), written) == written


def test_readme_without_its_marks_is_refused(registry, refused):
    with refused(BookError, "README.md lacks the line"):
        verdicts.readme_with([], "nothing")


def test_readme_command_writes_checks_and_says_what_is_missing(registry, tmp_path, capsys):
    assert verdicts.main([], tmp_path) == 2 and "make book" in capsys.readouterr().err
    (tmp_path / "README.md").write_text(f"a\n{verdicts.START}\n{verdicts.END}\nb\n")
    results = tmp_path / "results" / "quick"
    Judge("m", results, {})("C1", first=estimate(), second=estimate())
    claims.collect(results)
    assert verdicts.main(["--check"], tmp_path) == 1
    assert verdicts.main([], tmp_path) == 0
    assert verdicts.main(["--check"], tmp_path) == 0
