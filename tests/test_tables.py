import numpy as np
import pandas as pd
import pytest
import xarray as xr

from plateaus_utils import estimates
from plateaus_utils.book import tables
from plateaus_utils.results import code_hash, versions
from plateaus_utils.statistics import Interval


def test_provenance_shows_settings_versions_and_code():
    page = tables.provenance({"model": "x", "seed": 3}).to_html()
    for text in ("model", ">x<", "seed", ">3<", versions()["torch"], code_hash()[:12]):
        assert text in page


@pytest.fixture
def sizes():
    values = np.array(
        [[[40.0, 42.0], [20.0, np.nan]], [[44.0, 41.0], [np.nan, np.nan]], [[45.0, 43.0], [21.0, np.nan]]]
    )
    return xr.DataArray(
        values,
        dims=("prompt", "base", "direction"),
        coords={"base": ["real", "naive"], "document": ("prompt", [0, 1, 2])},
    )


def test_comparison_shows_intervals_shares_and_blanks(sizes):
    table = tables.comparison(sizes, "base", "real")
    assert table.index.tolist() == ["real", "naive"]
    assert table.columns.tolist() == ["median", "real minus it", "AUROC, real above it", "censored"]
    assert table.loc["real"].tolist() == [estimates.text(estimates.median(sizes).sel(base="real"), ".1f"), "", "", "0%"]
    assert table.loc["naive", "censored"] == "67%" and table.loc["naive", "median"].startswith("beyond the range [")
    apart = estimates.auroc(sizes, "base", "real", "naive")
    assert table.loc["naive", "AUROC, real above it"] == estimates.text(apart)


def test_comparison_of_no_prompts_is_blank_or_unknown(sizes):
    table = tables.comparison(sizes.isel(prompt=[]), "base", "real")
    assert table["censored"].tolist() == ["", ""] and table["median"].str.startswith("unknown").all()


def test_columns_have_decimals_by_their_largest_value():
    def column(*values):
        parts = dict.fromkeys(("value", "low", "high"), ("kind", list(values)))
        return xr.Dataset(parts, coords={"kind": list("ab")})

    table = tables.columns({"large": column(9.0, 12.0), "small": column(0.5, 1.25)})
    table = table.map(lambda cell: cell.replace("\N{NO-BREAK SPACE}", " "))
    assert table["large"].tolist() == ["9.0 [9.0, 9.0]", "12.0 [12.0, 12.0]"]
    assert table["small"].tolist() == ["0.50 [0.50, 0.50]", "1.25 [1.25, 1.25]"]


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
