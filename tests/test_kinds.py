"""The tables of kinds: names and styles are told apart, and whatever reads them takes in every entry."""

import re

from plateaus_utils import kinds
from plateaus_utils.book import chapter_sources, widgets
from plateaus_utils.experiments import explorer, sensitive
from plateaus_utils.files import PROJECT
from plateaus_utils.paths import MODES

EVERY = [*kinds.BASES.values(), *kinds.DIRECTIONS.values()]


def test_labels_are_told_apart_and_meanings_are_sentences():
    assert len({kind.label for kind in EVERY}) == len(EVERY)
    assert all(kind.meaning.endswith(".") and "\n" not in kind.meaning for kind in EVERY)


def test_main_kinds_have_a_style_of_their_own():
    for table in (kinds.BASES, kinds.DIRECTIONS):
        styles = [kinds.STYLES[kind.name] for kind in table.values() if kind.main]
        assert len({color for color, _ in styles}) == len({dash for _, dash in styles}) == len(styles)


def test_a_base_and_a_direction_of_one_name_look_alike():
    for name in kinds.BASES.keys() & kinds.DIRECTIONS.keys():
        assert kinds.BASES[name].color == kinds.DIRECTIONS[name].color
        assert kinds.BASES[name].dash == kinds.DIRECTIONS[name].dash


def test_modes_are_paths_and_every_direction_is_measured_somewhere(setting):
    assert all(kind.modes and set(kind.modes) <= set(MODES) for kind in kinds.DIRECTIONS.values())
    found = {
        mode: sensitive.direction_thresholds(setting, mode).kind.values.tolist() for mode in ("sphere", "straight")
    }
    assert {kind.removeprefix("-") for measured in found.values() for kind in measured} == set(kinds.DIRECTIONS)
    assert found["straight"] == list(kinds.measured("straight"))


def test_explorers_offer_what_the_table_says():
    assert set(kinds.DIRECTIONS) < set(widgets.KINDS)
    assert explorer.KINDS[:-1] == tuple(kind.name for kind in kinds.DIRECTIONS.values() if kind.explored)


def test_glossary_gets_an_entry_of_every_kind():
    text = (PROJECT / "book" / "glossary.md").read_text()
    written = set(re.findall(r"^(\S.*)$", text, re.MULTILINE))
    source = [text]
    chapter_sources.add_kinds(None, "book/glossary", source)
    shown = re.findall(r"^(\S.*)\n    (.*)$", source[0], re.MULTILINE)
    for kind in EVERY:
        assert (kind.label, kind.meaning) in shown and kind.label not in written
