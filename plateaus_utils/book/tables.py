"""Statistics -> small tables of text, as pages show them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from .. import estimates
from ..results import code_hash, versions

if TYPE_CHECKING:  # SAELens takes seconds to import, and only one chapter needs it
    from ..saes import Dictionary


class Table(pd.DataFrame):
    """A table whose cells a page shows as whole sentences; pandas cuts them after fifty characters."""

    @property
    def _constructor(self) -> type["Table"]:
        return Table

    def _repr_html_(self) -> str | None:
        with pd.option_context("display.max_colwidth", None):
            return super()._repr_html_()


def columns(columns: dict[str, xr.Dataset | xr.DataArray], spec: str | None = None) -> Table:
    """Estimates over one and the same dimension, each a column of text under its name; shares in percent, counts in full.

    Args:
        columns: heading -> an estimate, or a DataArray of shares or of counts.
        spec: format of the numbers; by default one decimal where a column reaches 10, two otherwise.
    """
    found = {heading: _column(column, spec) for heading, column in columns.items()}
    rows = list(dict.fromkeys(row for column in found.values() for row in column.index))
    return Table({heading: column.reindex(rows) for heading, column in found.items()}).fillna("")


def _column(column: xr.Dataset | xr.DataArray, spec: str | None) -> pd.Series:
    (dim,) = column.dims if isinstance(column, xr.DataArray) else column.value.dims
    rows = column[dim].values
    if isinstance(column, xr.DataArray) and column.dtype.kind == "i":
        return pd.Series({str(row): f"{int(column.sel({dim: row})):,}" for row in rows})
    if isinstance(column, xr.DataArray):
        shares = {str(row): float(column.sel({dim: row})) for row in rows}
        return pd.Series({row: "" if np.isnan(share) else f"{share:.0%}" for row, share in shares.items()})
    spec = spec or (".1f" if float(column.value.max()) >= 10 else ".2f")
    return pd.Series({str(row): estimates.text(column.sel({dim: row}), spec) for row in rows})


def by_corpus(samples: dict[str, xr.DataArray]) -> Table:
    """Means over the documents of each corpus, a row each with their number; a column for each sample [prompt]."""
    found = {heading: estimates.by_corpus(sample) for heading, sample in samples.items()}
    table = columns(found)
    first = next(iter(found.values()))
    table.insert(0, "documents", [str(int(n)) for n in first.n_documents])
    return table


def comparison(sizes: xr.DataArray, dim: str, reference: str) -> Table:
    """Threshold sizes [prompt, `dim`, direction] of each member of `dim`, and of `reference` against each other one."""
    return columns({
        "median": estimates.median(sizes),
        f"{reference} minus it": estimates.difference(sizes, dim, of=reference),
        f"AUROC, {reference} above it": estimates.auroc(sizes, dim, of=reference),
        "censored": estimates.censored(sizes),
    })  # fmt: skip


def matrix(cells: xr.Dataset | xr.DataArray, heading: str = "{}", spec: str | None = None) -> Table:
    """Estimates, or shares, over two dimensions: a row for each member of the first, a column for each of the second.

    Args:
        cells: an estimate, or a DataArray of shares.
        heading: of a column, with {} for the member.
        spec: as for `columns`.
    """
    _, across = cells.dims if isinstance(cells, xr.DataArray) else cells.value.dims
    members = cells[across].values.tolist()
    return columns({heading.format(member): cells.sel({across: member}, drop=True) for member in members}, spec)


def pairs(cells: xr.Dataset) -> Table:
    """`estimates.pairwise` comparisons as a matrix with an empty diagonal."""
    table = matrix(cells)
    for member in table.index.intersection(table.columns):
        table.loc[member, member] = ""
    return table


def told(effects: xr.Dataset) -> Table:
    """Effects over [estimator, factor], each beside whether the estimator tells the factor, and whether that was predicted.

    Args:
        effects: see `findings.toys.effects`.
    """
    shown = {}
    for factor in effects.factor.values.tolist():
        found = effects.sel(factor=factor, drop=True)
        shown[f"effect of {factor}"] = _column(found, ".2f")
        for heading, answers in ((f"tells {factor}", found.told), (f"{factor} as predicted", found.as_predicted)):
            words = ["yes" if answer else "no" for answer in answers.values]
            shown[heading] = pd.Series(words, [str(row) for row in found.estimator.values])
    return Table(shown)


def dictionary_table(dictionaries: Sequence["Dictionary"]) -> Table:
    """How good each dictionary is: on the book's own activations, and on held-out text as its card states."""
    rows = {}
    for dictionary in dictionaries:
        card = dictionary.sae.cfg.metadata
        recovered = card.recovered_against_mean
        rows[dictionary.name] = {
            "architecture": dictionary.sae.cfg.architecture(),
            "latents": dictionary.sae.cfg.d_sae,
            "L0": f"{dictionary.l0:.1f}",
            "explained variance": f"{dictionary.explained_variance:.3f}",
            "never active here": f"{len(dictionary.dead) / len(dictionary.frequency):.0%}",
            **{f"L0 from {band} latents": f"{share:.0%}" for band, share in dictionary.share_of_l0.items()},
            "card: explained variance": "" if card.explained_variance is None else f"{card.explained_variance:.3f}",
            "card: cross-entropy recovered": "" if recovered is None else f"{recovered:.3f}",
        }
    return Table.from_dict(rows, orient="index")


def extreme_latents(single: xr.Dataset, angles: xr.DataArray, n: int = 10) -> Table:
    """The n latents with the smallest and the n with the largest mean threshold angles [latent], and their tokens."""
    order = np.argsort(angles.values, kind="stable")
    chosen = np.concatenate([order[:n], order[max(n, len(order) - n) :]])
    columns = {
        "mean angle (°)": [f"{float(angles[i]):.1f}" for i in chosen],
        "active on": [f"{float(single.frequency[i]):.2%}" for i in chosen],
        "tokens": [str(single.tokens.values[i]) for i in chosen],
    }
    return Table(columns, index=single.latent.values[chosen]).rename_axis(columns="latent")


def explanations(rows: list[tuple[str, str, str]]) -> Table:
    """Explanation, prediction, measurement."""
    table = Table(rows, columns=["explanation", "predicts", "measured"])
    return table.set_index("explanation").rename_axis(index=None, columns="explanation")


def provenance(settings: dict) -> Table:
    """What made a page, for its end: model, corpus, settings and versions."""
    shown = {**settings, **versions(), "code": code_hash()[:12]}
    return Table({"this run": {name: str(value) for name, value in shown.items()}})
