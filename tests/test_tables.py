import numpy as np
import pandas as pd
import xarray as xr

from plateaus_utils.book import tables
from plateaus_utils.results import code_hash, versions
from plateaus_utils.statistics import Interval


def test_provenance_shows_settings_versions_and_code():
    page = tables.provenance({"model": "x", "seed": 3}).to_html()
    for text in ("model", ">x<", "seed", ">3<", versions()["torch"], code_hash()[:12]):
        assert text in page


def test_comparisons_show_intervals_shares_and_blanks():
    table = pd.DataFrame.from_dict(
        {"real": {"median": Interval(42.6, 39.8, 45.6, 120), "difference": None, "censored": 0.25},
         "naive": {"median": Interval(np.inf, 50.0, np.inf, 120), "difference": Interval(1.0, 0.5, 2.0, 120), "censored": 0.0}},
        orient="index",
    )  # fmt: skip
    text = tables.comparison_table({("sphere", "targets"): table})
    assert text.loc[("sphere / targets", "real")].tolist() == ["42.6 [39.8,\N{NO-BREAK SPACE}45.6]", "", "25%"]
    censored = text.loc[("sphere / targets", "naive"), "median"]
    assert censored.replace("\N{NO-BREAK SPACE}", " ") == "beyond the range [50.0, beyond the range]"
    norms = table.map(lambda x: Interval(0.595, 0.575, 0.617, 120) if isinstance(x, Interval) else x)
    text = tables.comparison_table({("straight",): norms.rename(columns={"difference": "AUROC"})})
    assert text.loc[("straight", "naive")].str.replace("\N{NO-BREAK SPACE}", " ").tolist() == [
        "0.59 [0.57, 0.62]"
    ] * 2 + ["0%"]


def test_sizes_have_decimals_by_column_and_blanks_where_there_is_none():
    text = tables.sizes_table(
        {"sphere": {"plain/1": Interval(48.01, 46.14, 50.67, 9), "random signs/1": Interval(9.0, 8.0, 9.5, 9)},
         "straight": {"plain/1": Interval(1.138, 1.0, 1.321, 9)}}
    )  # fmt: skip
    text = text.map(lambda cell: cell.replace("\N{NO-BREAK SPACE}", " "))
    assert text["sphere"].tolist() == ["48.0 [46.1, 50.7]", "9.0 [8.0, 9.5]"]
    assert text["straight"].tolist() == ["1.14 [1.00, 1.32]", ""]


def test_agreement_compares_every_map_with_the_first():
    def corners(local: list[bool]) -> xr.Dataset:
        values = np.array(local)[:, None]
        return xr.Dataset({"local": (("prompt", "section"), values), "global": (("prompt", "section"), values)},
                          coords={"section": ["real-other"]})  # fmt: skip

    table = tables.agreement(
        {"coarse": corners([True, True, False, False]), "fine": corners([True, False, False, False])}
    )
    row = table.loc["local minimum, real-other corner"]
    assert row["coarse"].startswith("50%") and row["fine"].startswith("25%")
    assert row["fine agrees"] == "75%"


def test_pages_show_whole_sentences_and_other_tables_stay_as_pandas_has_them():
    sentence = "A sentence that is longer than the fifty characters after which pandas cuts a cell."
    made = {
        "explanations": tables.explanations([("a", sentence, "b")]),
        "provenance": tables.provenance({"model": sentence}),
        "columns": tables.columns_table({"a": {sentence: Interval(1.0, 0.5, 2.0, 9)}}).reset_index(),
    }
    for name, table in made.items():
        assert sentence in table._repr_html_(), name
    assert sentence not in pd.DataFrame({"a": [sentence]})._repr_html_()
