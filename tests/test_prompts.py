"""Corpora and prompts: where sequences come from, what keeps the pools apart, and what every bad input says."""

import json
from itertools import pairwise

import datasets
import nltk
import numpy as np
import pytest

from plateaus_utils import embedded, prompts
from plateaus_utils.errors import CorpusError
from plateaus_utils.prompts import PACKAGED, _in_turn, load_prompts, open_corpus


@pytest.fixture(scope="module")
def tokenizer():
    return embedded.byte_tokenizer()


def numbered(n_documents, length):
    """Documents in which every piece of text occurs once, as `document:place` in fixed width."""
    return ["".join(f"{d:03}:{p:03} " for p in range(length)) for d in range(n_documents)]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(numbered(40, 10)))
    return str(path)


def rows(prompts):
    return [tuple(row) for row in prompts.tokens.tolist()]


@pytest.fixture(scope="module", params=PACKAGED)
def packaged(request, tokenizer):
    return load_prompts(request.param, tokenizer, 50, 500, seq_len=12)


# Where sequences come from --------------------------------------------------------------------------------------------


def test_packaged_corpora_give_distinct_prompts_with_bases_of_distinct_documents(packaged):
    bases, others = packaged.bases, packaged.others
    assert bases.tokens.shape == (50, 12) and others.tokens.shape == (500, 12)
    assert len({*rows(bases), *rows(others)}) == 550
    assert len(set(bases.documents)) == 50


@pytest.mark.parametrize("corpus", PACKAGED)
def test_packaged_prompts_are_text_of_the_document_they_name(corpus, tokenizer):
    documents = open_corpus(corpus)["text"]
    prompts = load_prompts(corpus, tokenizer, 20, 20, seq_len=12).bases
    for row, document in zip(prompts.tokens, prompts.documents, strict=True):
        name, index = document.split("/")
        assert name == corpus
        assert bytes(tokenizer(documents[int(index)])["input_ids"]).find(bytes(row.tolist())) >= 0


def test_wikipedia_is_running_text_without_markup():
    documents = open_corpus("wikipedia")["text"]
    assert len(documents) > 50
    for document in documents:
        assert not any(mark in document for mark in ("{|", "|}", "[[", "]]", "{{", "'''", "#REDIRECT"))
        assert all(len(line) > 80 for line in document.splitlines())


def test_sequences_are_consecutive_pieces_that_never_overlap(text_file, tokenizer):
    pools = load_prompts(text_file, tokenizer, 50, 60, seq_len=20)
    documents = open_corpus(text_file)["text"]
    places = {}
    for pool in (pools.bases, pools.others):
        for row, document in zip(rows(pool), pool.documents, strict=True):
            name, index = document.split("/")
            assert name == "corpus.txt"
            places.setdefault(document, []).append(documents[int(index)].index(tokenizer.decode(row)))
    assert sum(map(len, places.values())) == 110
    for found in places.values():
        assert all(b - a >= 20 for a, b in pairwise(sorted(found)))


def test_no_document_dominates(tmp_path, tokenizer):
    path = tmp_path / "uneven.txt"
    path.write_text("\n\n".join(numbered(1, 400) + [f"x{i:04} " * 8 for i in range(40)]))
    pools = load_prompts(str(path), tokenizer, 10, 12, seq_len=20)
    for pool in (pools.bases, pools.others):
        assert len(set(pool.documents)) == len(pool)


def test_bases_are_one_of_each_document_as_long_as_documents_last(text_file, tokenizer):
    bases = load_prompts(text_file, tokenizer, 100, 10, seq_len=20).bases
    assert len(set(bases.documents[:40])) == len(set(bases.documents[40:80])) == 40  # of forty documents
    assert len(set(bases.documents[80:])) == 20
    fewer = load_prompts(text_file, tokenizer, 30, 10, seq_len=20).bases
    assert rows(fewer) == rows(bases)[:30]


def test_others_are_drawn_from_documents_of_bases_too(text_file, tokenizer):
    pools = load_prompts(text_file, tokenizer, 40, 40, seq_len=20)
    assert set(pools.bases.documents) == set(pools.others.documents)
    apart = prompts.elsewhere(pools.bases.documents, pools.others.documents)
    expected = [[base != other for other in pools.others.documents] for base in pools.bases.documents]
    assert apart.tolist() == expected and apart.sum() == 40 * 39


def test_corpora_are_joined_and_their_documents_keep_their_names(text_file, tokenizer):
    pools = load_prompts(f"wikipedia+lee+{text_file}", tokenizer, 300, 300, seq_len=12)
    names = [document.rsplit("/", 1) for document in (*pools.bases.documents, *pools.others.documents)]
    assert {name for name, _ in names} == {"wikipedia", "lee", "corpus.txt"}
    documents = {
        "wikipedia": open_corpus("wikipedia")["text"],
        "lee": open_corpus("lee")["text"],
        "corpus.txt": numbered(40, 10),
    }
    for (name, index), row in zip(names, rows(pools.bases) + rows(pools.others), strict=True):
        assert tokenizer.decode(row).strip("\ufffd") in documents[name][int(index)]


def test_a_file_whose_name_holds_a_plus_is_one_corpus(tmp_path, tokenizer):
    path = tmp_path / "a+b.txt"
    path.write_text("\n\n".join(numbered(10, 10)))
    assert load_prompts(str(path), tokenizer, 2, 2).bases.documents[0].startswith("a+b.txt/")


def test_duplicate_text_is_used_once(tmp_path, tokenizer, refused):
    path = tmp_path / "same.txt"
    path.write_text("\n\n".join(["twenty letters long."] * 50))
    with refused(CorpusError, "holds 1 document of 20 tokens"):
        load_prompts(str(path), tokenizer, 1, 1, seq_len=20)


def test_same_seed_gives_same_prompts_and_another_seed_others(text_file, tokenizer):
    first, again, other = (load_prompts(text_file, tokenizer, 20, 40, seq_len=10, seed=seed) for seed in (3, 3, 4))
    assert rows(first.bases) == rows(again.bases) and rows(first.others) == rows(again.others)
    assert set(first.bases.documents) != set(other.bases.documents)


def test_beginning_of_sequence_token_takes_the_first_place_only_when_asked_for(text_file, tokenizer):
    plain = load_prompts(text_file, tokenizer, 20, 40, seq_len=10).bases.tokens
    with_bos = load_prompts(text_file, tokenizer, 20, 40, seq_len=10, prepend_bos=True).bases.tokens
    assert with_bos.shape == plain.shape
    assert (with_bos[:, 0] == tokenizer.bos_token_id).all()
    assert not (with_bos[:, 1:] == tokenizer.bos_token_id).any() and not (plain == tokenizer.bos_token_id).any()


def test_slice_of_prompts_keeps_tokens_and_documents_together(packaged):
    some = packaged.bases[3:7]
    assert len(some) == 4 and rows(some) == rows(packaged.bases)[3:7]
    np.testing.assert_array_equal(some.documents, packaged.bases.documents[3:7])


# Kinds of corpus ------------------------------------------------------------------------------------------------------


def test_text_jsonl_parquet_and_saved_folders_give_the_same_prompts(text_file, tmp_path, tokenizer):
    documents = numbered(40, 10)
    saved = datasets.Dataset.from_dict({"text": [text.strip() for text in documents]})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text.strip()}) + "\n" for text in documents))
    saved.to_parquet(tmp_path / "a.parquet")
    saved.save_to_disk(tmp_path / "folder")
    datasets.DatasetDict({"train": saved, "test": saved.select([0])}).save_to_disk(tmp_path / "splits")
    expected = rows(load_prompts(text_file, tokenizer, 20, 40).bases)
    for name in ("a.jsonl", "a.parquet", "folder", "splits"):
        assert rows(load_prompts(str(tmp_path / name), tokenizer, 20, 40).bases) == expected, name


def separated(n_rows, documents_per_row, length, end):
    """Rows of ids in which documents, each of one repeated id, are separated by `end` (twice in a few places)."""
    found = []
    for row in range(n_rows):
        ids = []
        for document in range(documents_per_row):
            ids += [(row * documents_per_row + document) % 250] * length + [end] * (1 + document % 2)
        found.append({"input_ids": ids})
    return found


@pytest.fixture
def hub(monkeypatch, tokenizer):
    """A stand-in for the hub: notes how it is asked and how many rows are read."""
    asked = {"read": 0}

    def stream():
        for row in separated(400, 5, 12, tokenizer.eos_token_id):
            asked["read"] += 1
            yield row

    def load_dataset(name, **options):
        asked.update(options, name=name)
        return datasets.IterableDataset.from_generator(stream)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_hub_dataset_is_streamed_and_not_read_to_its_end(hub, tokenizer):
    pools = load_prompts("someone/tokens", tokenizer, 10, 20, seq_len=6)
    assert hub["name"] == "someone/tokens" and hub["streaming"] is True and hub["split"] == "train"
    assert len(pools.bases) == 10 and len(pools.others) == 20
    assert all(document.startswith("someone/tokens/") for document in pools.bases.documents)
    assert 0 < hub["read"] < 200


def test_pretokenized_sequences_never_cross_from_one_document_into_the_next(hub, tokenizer):
    pools = load_prompts("someone/tokens", tokenizer, 40, 60, seq_len=6)
    for pool in (pools.bases, pools.others):
        # In this corpus a document consists of one repeated id, so a sequence of two documents would show two.
        assert all(len(set(row)) == 1 and tokenizer.eos_token_id not in row for row in rows(pool))


def test_contexts_cover_each_document_in_order_and_never_cross(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("abcdefg\n\nhijklm\n\nno")
    found = prompts.contexts(str(tmp_path / "a.txt"), tokenizer, 3)
    assert [tokenizer.decode(row) for row in found] == ["abc", "def", "hij", "klm"]


def test_files_of_an_nltk_corpus_are_documents(tmp_path, monkeypatch, tokenizer):
    folder = tmp_path / "corpora" / "inaugural"
    folder.mkdir(parents=True)
    (folder / "1789-A.txt").write_text("Fellow citizens")
    (folder / "1793-B.txt").write_text("I am again")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert prompts.open_corpus("nltk/inaugural")["text"] == ["Fellow citizens", "I am again"]


# Bad input ------------------------------------------------------------------------------------------------------------


def test_empty_saved_folder_is_refused(tmp_path, tokenizer, refused):
    datasets.Dataset.from_dict({"text": []}).save_to_disk(tmp_path / "none")
    with refused(CorpusError):
        load_prompts(str(tmp_path / "none"), tokenizer, 1, 1)


def test_corpus_without_a_long_enough_document_gives_no_contexts(tmp_path, tokenizer, refused):
    (tmp_path / "a.txt").write_text("short")
    with refused(CorpusError, "No document", "30 tokens"):
        prompts.contexts(str(tmp_path / "a.txt"), tokenizer, 30)


@pytest.mark.parametrize(("corpus", "words"), [
    ("lee+unheard-of", "The corpus 'unheard-of'"), ("lee+", "The corpus ''"), ("lee+lee", "two members of one name"),
])  # fmt: skip
def test_unknown_member_of_a_joined_corpus_is_refused_by_name(corpus, words, tokenizer, refused):
    with refused(CorpusError, words):
        load_prompts(corpus, tokenizer, 1, 1)


def test_sequence_longer_than_the_context_is_refused_and_one_as_long_is_not(tokenizer, refused):
    assert load_prompts("lee", tokenizer, 2, 2, seq_len=64, n_ctx=64).bases.tokens.shape == (2, 64)
    with refused(CorpusError, "longer than the model's context of 64"):
        load_prompts("lee", tokenizer, 2, 2, seq_len=65, n_ctx=64)


def test_beginning_of_sequence_token_that_does_not_exist_is_refused(refused):
    tokenizer = embedded.byte_tokenizer()
    tokenizer.bos_token = None
    with refused(CorpusError, "prepend_bos"):
        load_prompts("lee", tokenizer, 1, 1, prepend_bos=True)


def test_long_documents_do_not_come_first():
    """Of ten documents with 100 sequences and ten with one, the first ten drawn hold as many of either sort."""
    sequences = [(f"long/{i}", (i, j)) for i in range(10) for j in range(100)] + [
        (f"short/{i}", (i,)) for i in range(10)
    ]
    first = [_in_turn(sequences, np.random.default_rng(seed))[:10] for seed in range(200)]
    share = np.mean([document.startswith("long") for drawn in first for document, _ in drawn])
    assert abs(share - 0.5) < 0.05
    assert all(len({document for document, _ in drawn}) == 10 for drawn in first)
