"""Statistics -> small tables of text, as pages show them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from .. import estimates
from ..results import code_hash, versions
from ..statistics import Interval, proportion

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


def size_format(sizes: Iterable[Interval]) -> str:
    """One decimal where sizes reach 10 (degrees, activation units), two otherwise (norms of the base)."""
    return ".1f" if max(size.value for size in sizes) >= 10 else ".2f"


def columns(columns: dict[str, xr.Dataset | xr.DataArray], spec: str | None = None) -> Table:
    """Estimates over one and the same dimension, each a column of text under its name; shares in percent.

    Args:
        columns: heading -> an estimate, or a DataArray of shares.
        spec: format of the numbers; by default one decimal where a column reaches 10, two otherwise.
    """
    found = {heading: _column(column, spec) for heading, column in columns.items()}
    rows = list(dict.fromkeys(row for column in found.values() for row in column.index))
    return Table({heading: column.reindex(rows) for heading, column in found.items()}).fillna("")


def _column(column: xr.Dataset | xr.DataArray, spec: str | None) -> pd.Series:
    (dim,) = column.dims
    rows = column[dim].values
    if isinstance(column, xr.DataArray):
        shares = {str(row): float(column.sel({dim: row})) for row in rows}
        return pd.Series({row: "" if np.isnan(share) else f"{share:.0%}" for row, share in shares.items()})
    spec = spec or (".1f" if float(column.value.max()) >= 10 else ".2f")
    return pd.Series({str(row): estimates.text(column.sel({dim: row}), spec) for row in rows})


def comparison(sizes: xr.DataArray, dim: str, reference: str) -> Table:
    """Threshold sizes [prompt, `dim`, direction] of each member of `dim`, and of `reference` against each other one."""
    return columns({
        "median": estimates.median(sizes),
        f"{reference} minus it": estimates.difference(sizes, dim, of=reference),
        f"AUROC, {reference} above it": estimates.auroc(sizes, dim, of=reference),
        "censored": estimates.censored(sizes),
    })  # fmt: skip


def matrix_table(values: dict[tuple[str, str], Interval]) -> Table:
    """Intervals keyed by (row, column) as a table of text."""
    rows = list(dict.fromkeys(row for row, _ in values))
    return Table(
        {column: {row: f"{values[row, column]:.2f}" if row != column else "" for row in rows} for column in rows}
    )


def interval_table(values: dict[str, Interval], heading: str, spec: str = ".2f") -> Table:
    """Named intervals as a table of text."""
    return Table({heading: {name: f"{value:{spec}}" for name, value in values.items()}})


def parts_table(parts: dict[str, tuple[Interval, Interval]], unit: str = "°") -> Table:
    """Even and odd parts as a table of text."""
    return Table(
        {
            f"even part ({unit})": {kind: f"{even:.1f}" for kind, (even, _) in parts.items()},
            f"odd part ({unit})": {kind: f"{odd:.1f}" for kind, (_, odd) in parts.items()},
        }
    )


def agreement(maps: dict[str, xr.Dataset]) -> Table:
    """Shares of local and global minima at the first corner by map, and how often each map agrees with the first one."""
    rows = {}
    for what in ("local", "global"):
        for section in next(iter(maps.values())).section.values:
            found = {name: corners[what].sel(section=section).values for name, corners in maps.items()}
            first, *others = found
            row = {name: f"{proportion(values):.0%}" for name, values in found.items()}
            row |= {f"{name} agrees": f"{(found[name] == found[first]).mean():.0%}" for name in others}
            rows[f"{what} minimum, {section} corner"] = row
    return Table.from_dict(rows, orient="index")


def columns_table(columns: dict[str, dict[str, Interval]], spec: str = ".2f") -> Table:
    """Named columns of named intervals as a table of text."""
    return pd.concat([interval_table(column, name, spec) for name, column in columns.items()], axis=1).fillna("")


def sizes_table(columns: dict[str, dict[str, Interval]]) -> Table:
    """Named columns of named sizes as a table of text."""
    tables = [interval_table(column, name, size_format(column.values())) for name, column in columns.items()]
    return pd.concat(tables, axis=1).fillna("")


def untrained_table(half_way: dict[tuple[str, str, str], Interval]) -> Table:
    """AUROC by network, effect and comparison, as a table of text."""
    headings = {"base": "plateau effect", "kind": "direction effect"}
    rows: dict[str, dict[str, str]] = {}
    for (network, effect, what), value in half_way.items():
        rows.setdefault(network, {})[f"{headings[what]}, {effect.upper()}"] = f"{value:.2f}"
    return Table.from_dict(rows, orient="index")


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
            "card: explained variance": "" if card.explained_variance is None else f"{card.explained_variance:.3f}",
            "card: cross-entropy recovered": "" if recovered is None else f"{recovered:.3f}",
        }
    return Table.from_dict(rows, orient="index")


def extreme_latents(single: xr.Dataset, angles: np.ndarray, n: int = 10) -> Table:
    """The n latents with the smallest and the n with the largest mean threshold angles [n_latents], and their tokens."""
    order = np.argsort(angles, kind="stable")
    chosen = np.concatenate([order[:n], order[max(n, len(order) - n) :]])
    columns = {
        "mean angle (°)": [f"{angles[i]:.1f}" for i in chosen],
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
