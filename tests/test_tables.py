import numpy as np
import pandas as pd
import pytest
import xarray as xr

from plateaus_utils import estimates
from plateaus_utils.book import tables
from plateaus_utils.results import code_hash, versions


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


def estimate(values, **coords):
    """Estimates whose intervals are a tenth to either side, over the dimensions that are named."""
    values = np.array(values)
    parts = {name: (list(coords), values + shift) for name, shift in (("value", 0), ("low", -0.1), ("high", 0.1))}
    return xr.Dataset(parts, coords=coords)


def test_matrix_has_rows_of_the_first_dimension_and_columns_of_the_second():
    cells = estimate([[1.0, 20.0], [2.0, 3.0]], path=["a", "b"], angle=[15, 30])
    table = tables.matrix(cells, heading="at {}°").map(lambda cell: cell.replace("\N{NO-BREAK SPACE}", " "))
    assert table.index.tolist() == ["a", "b"] and table.columns.tolist() == ["at 15°", "at 30°"]
    assert table["at 15°"].tolist() == ["1.00 [0.90, 1.10]", "2.00 [1.90, 2.10]"]
    assert table["at 30°"].tolist() == ["20.0 [19.9, 20.1]", "3.0 [2.9, 3.1]"]


def test_matrix_of_shares_is_in_percent():
    shares = xr.DataArray([[0.25, 1.0]], dims=("what", "map"), coords={"what": ["local"], "map": ["fine", "finer"]})
    table = tables.matrix(shares, heading="{} agrees")
    assert table.loc["local"].to_dict() == {"fine agrees": "25%", "finer agrees": "100%"}


def test_pairs_leave_their_diagonal_empty():
    table = tables.pairs(estimate([[np.nan, 0.6], [0.4, np.nan]], kind=["a", "b"], of=["a", "b"]))
    assert table.loc["a", "a"] == table.loc["b", "b"] == ""
    assert table.loc["a", "b"].startswith("0.60 [0.50,") and table.loc["b", "a"].startswith("0.40 [0.30,")


def test_pages_show_whole_sentences_and_other_tables_stay_as_pandas_has_them():
    sentence = "A sentence that is longer than the fifty characters after which pandas cuts a cell."
    made = {
        "explanations": tables.explanations([("a", sentence, "b")]),
        "provenance": tables.provenance({"model": sentence}),
        "columns": tables.columns({"a": estimate([1.0], kind=[sentence])}).reset_index(),
    }
    for name, table in made.items():
        assert sentence in table._repr_html_(), name
    assert sentence not in pd.DataFrame({"a": [sentence]})._repr_html_()
