import html
import json
import math
import re

import numpy as np
import pytest
import xarray as xr
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from scipy import stats

from plateaus_utils import claims, controls
from plateaus_utils.book import forest, verdicts
from plateaus_utils.claims import NOT_TESTED, Judge
from plateaus_utils.decisions import DETECTED, EQUAL, FAILS, HOLDS, OPEN
from plateaus_utils.errors import BookError, ParameterError, ResultError
from plateaus_utils.files import PROJECT

SCALES = {
    "angle": {"unit": "°", "half_width": 2, "reference": 0},
    "ratio": {"unit": "", "half_width": 1.25, "reference": 1},
    "share": {"unit": "", "half_width": 0.05, "reference": 0},
}


def entry(scale="angle", kind="effect", size=None, secondary=None, **estimand):
    decides = {"name": "gap", "scale": scale, "kind": kind, "sign": 1, "method": "One value.", "result": "r"} | estimand
    found = {"family": "report", "statement": f"It is so ({scale}).", "source": "key", "published": "1"}
    found |= {"figure": "page#fig-x", "estimand": decides, "size": size or {"not_comparable": "no number"}}
    return found | ({"secondary": secondary} if secondary else {})


@pytest.fixture
def registry(monkeypatch):
    """Three statements that are decided, one that repeats another, one that nothing decides."""
    found = {
        "C1": entry(secondary={"other": {"name": "other", "unit": "°"}}),
        "(i)": {"statement": "It is so, too.", "source": "key", "published": "1", "same_as": "C1"},
        "C2": entry("ratio", size={"published": 3, "spread": 0.4}),
        "C7": entry("angle", "absence"),
        "C9": {"family": "later", "statement": "x", "source": "key", "published": "1", "needs": "needs a model"},
    }
    found["(i)"] |= {key: found["C1"][key] for key in ("family", "estimand", "size", "secondary", "figure")}
    monkeypatch.setattr(claims, "_read_registry", lambda: {"claims": found, "scales": SCALES})
    claims.registry.cache_clear()
    yield found
    claims.registry.cache_clear()


def sample(mean=5.0, deviation=4.0, n=60, seed=0):
    """[prompt] with exactly this mean and standard deviation, one prompt a document."""
    values = np.random.default_rng(seed).normal(size=n)
    values = mean + deviation * (values - values.mean()) / values.std(ddof=1)
    return xr.DataArray(values, dims="prompt", coords={"document": ("prompt", [f"w/{i}" for i in range(n)])})


def estimate(value=0.5, low=0.4, high=0.59, n=100):
    return xr.Dataset({"value": value, "low": low, "high": high, "n": n, "n_documents": n})


def test_intervals_are_widened_for_the_family(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge("C1", sample(), other=estimate())
    (found,) = judge.judged
    assert claims.family_size("report") == 3 and found["level"] == 1 - 0.05 / 3
    for key, level in (("interval", 1 - 0.05 / 3), ("equivalence", 1 - 0.1 / 3)):
        half = stats.t.isf((1 - level) / 2, 59) * 4 / math.sqrt(60)
        np.testing.assert_allclose(found[key], [5 - half, 5 + half])
    np.testing.assert_allclose(found["standardized"], [x / 2 for x in (5, *found["interval"])])
    assert (found["direction"], found["verdict"], found["size"]) == (DETECTED, HOLDS, "not comparable")
    assert (found["labels"], found["n"], found["unit"]) == (["(i)", "C1"], 60, "°")


def test_ratios_come_out_of_their_logarithms(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge("C2", sample(math.log(2), 0.1))
    (found,) = judge.judged
    assert found["value"] == pytest.approx(2)
    assert found["standardized"][0] == pytest.approx(math.log(2) / math.log(1.25))
    assert found["size"] == "compatible"  # 3 over exp(sqrt(.4² + log²1.25)) is 1.91


def test_an_absence_holds_only_if_practically_equal(registry, tmp_path):
    judge = Judge(tmp_path, {})
    for mean in (0.1, 9, 2):
        judge("C7", sample(mean, 2.0))
    assert [claim["verdict"] for claim in judge.judged] == [HOLDS, FAILS, OPEN]


def test_what_is_undecided_says_how_many_documents_would_decide(registry, tmp_path):
    judge = Judge(tmp_path, {}, available=400)
    judge("C1", sample(0.5, 8.0), other=estimate())
    (found,) = judge.judged
    assert found["verdict"] == OPEN and found["documents_needed"] > 400
    assert "more than the corpora at hand hold (400)" in verdicts.needed(found)
    assert "more than" not in verdicts.needed(found | {"available": 10**9})
    assert "no number" in verdicts.needed(found | {"documents_needed": None})


def test_what_is_decided_asks_for_no_documents(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge("C1", sample(), other=estimate())
    assert judge.judged[0]["documents_needed"] is None


@pytest.mark.parametrize("given", [(), ("other", "third"), ("othr",)])
def test_missing_and_extra_numbers_are_refused(registry, tmp_path, refused, given):
    with refused(ParameterError, "The secondary numbers of C1 are other", "given were"):
        Judge(tmp_path, {})("C1", sample(), **{name: estimate() for name in given})
    assert not (tmp_path / "claims").exists()


@pytest.mark.parametrize(("claim", "says"), [("C99", "claims.yaml"), ("C9", "no estimand")])
def test_a_statement_that_nothing_decides_cannot_be_judged(registry, tmp_path, refused, claim, says):
    with refused(ParameterError, claim, says):
        Judge(tmp_path, {})(claim, sample())


def test_a_statement_that_repeats_another_is_judged_there(registry, tmp_path, refused):
    with refused(ParameterError, "(i) repeats C1"):
        Judge(tmp_path, {})("(i)", sample(), other=estimate())


def test_a_secondary_number_is_a_single_one(registry, tmp_path, refused):
    with refused(ParameterError, "needs one estimate", "base"):
        Judge(tmp_path, {})("C1", sample(), other=estimate().expand_dims(base=["real", "random"]))


def test_other_models_are_judged_without_secondary_numbers(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge.alone("C1", sample())
    assert judge.judged[0]["secondary"] == [] and judge.judged[0]["verdict"] == HOLDS


def test_collected_claims_count_statements_once_and_list_what_nothing_tested(registry, tmp_path):
    Judge(tmp_path, {})("C1", sample(), other=estimate())
    collected = claims.collect(tmp_path)
    assert [c["id"] for c in collected] == ["C1", "C2", "C7", "C9"]
    reasons = {c["id"]: c["reason"] for c in collected if c["verdict"] == NOT_TESTED}
    unrun = "its chapter has not been run with these settings"
    assert reasons == {"C2": unrun, "C7": unrun, "C9": "needs a model"}
    assert all("sample" not in c for c in json.loads((tmp_path / "claims.json").read_text()))
    assert claims.counts(collected) == {HOLDS: 1, FAILS: 0, OPEN: 0, NOT_TESTED: 3}
    assert claims.stored(tmp_path)["C1"]["sample"]["document"][0] == "w/0"


def test_a_withheld_claim_is_listed_with_its_reason_and_without_verdict(registry, tmp_path):
    Judge(tmp_path, {}, withheld="there is no SAE")("C1", sample(), other=estimate())
    kept = claims.collect(tmp_path)[0]
    assert kept["verdict"] == NOT_TESTED and kept["value"] == pytest.approx(5)
    assert "there is no SAE" in verdicts.untested([kept])
    assert "not tested |  | there is no SAE" in verdicts.glance([kept])


def test_infinite_ends_are_written_as_valid_json(registry, tmp_path):
    Judge(tmp_path, {})("C1", sample(), other=estimate(math.inf, 0.3, math.inf))
    shown = json.loads((tmp_path / "claims" / "C1.json").read_text())["secondary"][0]
    assert shown["value"] is None
    assert "beyond the range" in verdicts.number(shown["value"], shown["low"], shown["high"], "°")


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
    Judge(tmp_path, {})("C1", sample(), other=estimate())
    damage(tmp_path / "claims" / "C1.json")
    with refused(ResultError, "C1.json", "run its chapter again"):
        claims.collect(tmp_path)


def test_claims_carry_the_key_of_what_made_them(registry, tmp_path):
    keys = []
    for made_by in ({"seed": 0}, {"seed": 0}, {"seed": 1}):
        Judge(tmp_path, made_by)("C1", sample(), other=estimate())
        keys.append(json.loads((tmp_path / "claims" / "C1.json").read_text())["key"])
    assert keys[0] == keys[1] != keys[2]


def test_runs_stand_side_by_side_and_are_not_pooled(registry, tmp_path):
    for run, mean in (("quick", 5.0), ("twin", -5.0)):
        Judge(tmp_path / run, {})("C1", sample(mean), other=estimate())
        claims.collect(tmp_path / run)
    table = verdicts.side_by_side(claims.runs(tmp_path))
    assert "| | quick | twin | holds in |" in table
    (row,) = [line for line in table.splitlines() if line.startswith("| C1")]
    assert "holds: 5.0" in row and "does not hold: -5.0" in row and row.endswith("1 of 2 |")


# Controls of the verdicts ---------------------------------------------------------------------------------------------


def test_exchanged_labels_are_rarely_detected_and_planted_effects_are(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge("C1", sample(5.0, 4.0), other=estimate())
    judge("C2", sample(math.log(2), 0.4, seed=1))
    judge("C7", sample(0.0, 4.0, seed=2))
    found = controls.run(tmp_path)
    assert found["permuted"]["statements"] == 3 and found["permuted"]["share"] <= found["permuted"]["limit"]
    assert {name: row["planted"] for name, row in found["planted"].items()} == pytest.approx(
        {"C1": 2.0, "C2": math.log(3) / math.log(1.25), "C7": 2.0}
    )
    assert all(row["power"] > 0.9 and row["reversed"] > 0.9 for row in found["planted"].values())
    assert json.loads((tmp_path / "controls.json").read_text()) == found


def test_the_permutation_control_can_fail(registry, tmp_path, monkeypatch):
    """A rule that detects at every positive mean detects in about half of the permuted runs."""
    Judge(tmp_path, {})("C1", sample(5.0, 4.0), other=estimate())
    monkeypatch.setattr(
        controls, "directions", lambda decides, rows, alpha: [DETECTED if row.mean() > 0 else EQUAL for row in rows]
    )
    share = controls.run(tmp_path)["permuted"]["share"]
    assert 0.4 < share < 0.6


def test_every_estimand_of_the_registry_has_a_plant_that_comes_out_reversed():
    rng = np.random.default_rng(0)
    for name in claims.distinct():
        if "estimand" in claims.registry()[name]:
            decides = claims.estimand(name)
            unit = math.log(decides.half_width) if decides.is_ratio else decides.half_width
            null = math.log(decides.null) if decides.is_ratio else decides.null
            values = null + decides.sign * unit * rng.normal(0, 3, 300)
            row = controls.planted(name, {"sample": {"value": values.tolist()}}, rng)
            assert row["power"] > 0.9 and row["reversed"] > 0.9, name


def test_a_run_without_claims_has_nothing_to_control(tmp_path, refused):
    with refused(ResultError, "no judged claims"):
        controls.run(tmp_path)


# The registry ---------------------------------------------------------------------------------------------------------


def test_every_source_is_in_the_bibliography():
    bibliography = (PROJECT / "book" / "references.bib").read_text()
    for published in claims.registry().values():
        assert all(f"{{{key}," in bibliography for key in published["source"].split(","))


@pytest.mark.parametrize("name", claims.registry())
def test_registry_entries_say_all_that_is_needed(name):
    registered = claims.registry()[name]
    known = {
        "family",
        "statement",
        "source",
        "published",
        "figure",
        "estimand",
        "size",
        "secondary",
        "departs",
        "needs",
    }
    assert set(registered) <= known | {"same_as"}
    if "same_as" in registered:
        assert registered["same_as"] in claims.distinct()
        return
    assert registered["family"] in ("report", "later")
    assert "estimand" in registered or "needs" in registered
    if "estimand" not in registered:
        return
    required = {"name", "scale", "kind", "sign", "method", "result"}
    allowed = required | {"reference", "reference_is", "half_width", "half_width_is", "one_sided"}
    assert required <= set(registered["estimand"]) <= allowed
    assert ("published" in registered["size"]) != ("not_comparable" in registered["size"])
    decides = claims.estimand(name)
    assert decides.kind in ("effect", "absence") and decides.sign in (1, -1) and decides.half_width > 0
    assert not decides.one_sided or decides.kind == "absence"
    if decides.kind == "effect" and decides.published is not None:
        assert decides.standardized(decides.published) > 0  # the published sign counts as positive


def test_no_statement_is_typed_outside_the_registry():
    pages = [
        *(PROJECT / "notebooks").glob("*.py"),
        *(PROJECT / "plateaus_utils").rglob("*.py"),
        PROJECT / "book" / "index.md",
    ]
    texts = {page: page.read_text() for page in pages}
    for registered in claims.registry().values():
        assert not [page.name for page, text in texts.items() if registered["statement"] in text]


# The forest plot ------------------------------------------------------------------------------------------------------


@pytest.fixture
def collected(registry, tmp_path):
    judge = Judge(tmp_path, {})
    judge("C1", sample(), other=estimate())
    judge("C2", sample(math.log(0.5), 0.1))
    return claims.collect(tmp_path)


def test_places_on_the_axis_keep_order_and_sign():
    places = [forest.position(effect) for effect in (-1000, -3, -1, 0, 1, 3, 1000)]
    assert places == sorted(places) and places[0] == 0 and places[3] == 50 and places[-1] == 100
    assert places[2] + places[4] == pytest.approx(100)


def test_a_strip_shows_interval_value_and_published_size(collected):
    first, second = (forest.strip(claim) for claim in collected[:2])
    value, low, high = (forest.position(x) for x in collected[0]["standardized"])
    assert f'<line x1="{low:.2f}%" x2="{high:.2f}%"' in first and f'<circle cx="{value:.2f}%"' in first
    assert "stroke-dasharray" not in first and "stroke-dasharray" in second  # only C2 has a published size
    assert "✕" in second and "✕" not in first  # verdicts differ in shape, not in colour alone


def test_the_plot_links_figures_and_filters_without_a_script(collected):
    shown = forest.plot([(c["id"], c) for c in collected])
    assert 'href="page.html#fig-x"' in shown and "<script" not in shown
    assert shown.count("<li ") == 2  # what is not tested has no row
    assert 'class="holds"' in shown and 'class="does-not-hold"' in shown
    assert re.findall(r'type="radio" name="forest" value="([\w-]+)"', shown) == ["all", "holds", "does-not-hold"]


def test_the_picture_of_the_report_is_one_valid_svg(collected):
    from xml.etree import ElementTree

    root = ElementTree.fromstring(forest.picture(verdicts.of_the_report(collected)))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("(i) It is so (angle).") for text in texts)


# README ---------------------------------------------------------------------------------------------------------------


def test_readme_states_every_claim_of_the_report(stated):
    entries = claims.registry()
    published = [(name, entries[c.get("same_as", name)]["statement"]) for name, c in entries.items() if name[0] == "("]
    assert [row[:2] for row in stated] == published
    for _, _, verdict, _, value, low, high in stated:
        assert verdict in (HOLDS, FAILS, OPEN)
        assert low <= value <= high


def test_readme_is_written_between_its_marks_and_nowhere_else(collected):
    readme = (PROJECT / "README.md").read_text()
    written = verdicts.readme_with(collected, readme)
    assert "| (i) | It is so (angle). | holds | not comparable | gap 5.0 [" in written
    assert (
        "Of 4 distinct statements, the report's and those of later work, 1 hold, 1 do not hold, 0 are undecided"
        in written
    )
    outside = re.compile(re.escape(verdicts.START) + ".*" + re.escape(verdicts.END), re.DOTALL)
    assert outside.sub("", written) == outside.sub("", readme)
    assert verdicts.readme_with(collected, written) == written


def test_readme_without_its_marks_is_refused(registry, refused):
    with refused(BookError, "README.md lacks the line"):
        verdicts.readme_with([], "nothing")


def test_readme_command_writes_checks_and_says_what_is_missing(registry, tmp_path, capsys):
    assert verdicts.main([], tmp_path) == 2 and "make book" in capsys.readouterr().err
    (tmp_path / "README.md").write_text(f"a\n{verdicts.START}\n{verdicts.END}\nb\n")
    results = tmp_path / "results" / "quick"
    Judge(results, {})("C1", sample(), other=estimate())
    claims.collect(results)
    assert verdicts.main(["--check"], tmp_path) == 1
    assert verdicts.main([], tmp_path) == 0
    assert (tmp_path / verdicts.PICTURE).read_text().startswith("<svg")
    assert verdicts.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("name", ["jumprelu-32", "a|b", "*a*_b_`c`", "<b>$x$[y](z)", "~/saes/..\\x"])
def test_names_of_saes_are_shown_as_they_are(name):
    page = MarkdownIt("gfm-like", {"linkify": False}).render(f"| name |\n| --- |\n| {verdicts.literal(name)} |\n")
    assert BeautifulSoup(page, "html.parser").td.decode_contents() == html.escape(name, quote=False)
