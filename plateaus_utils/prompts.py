"""Corpus -> token sequences, through `datasets`.

*Bases* are perturbed, *others* give the target activations and the Gaussian model. No sequence is both. A document may
give sequences to either, so whatever pairs a base with an other leaves out those of the base's own document.
"""

import bz2
import importlib.util
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import datasets
import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from .errors import CorpusError
from .files import members

STREAM_MARGIN = 4
"""Oversampling factor for streamed corpora: documents read for each base, and sequences for each one asked for."""


@dataclass(frozen=True)
class Prompts:
    """Token sequences of equal length, and the document that each came from."""

    tokens: torch.Tensor
    """[n_prompts, seq_len] token ids, int64."""
    documents: np.ndarray
    """[n_prompts] where each came from, as text: `wikipedia/12` is the thirteenth document of that corpus."""

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index) -> "Prompts":
        return Prompts(self.tokens[index], self.documents[index])


@dataclass(frozen=True)
class PromptPools:
    """Bases and others of one corpus; no token sequence is in both."""

    bases: Prompts
    others: Prompts
    corpus: str


def load_prompts(
    corpus: str,
    tokenizer: PreTrainedTokenizerBase,
    n_bases: int,
    n_others: int,
    *,
    seq_len: int = 10,
    seed: int = 0,
    prepend_bos: bool = False,
    n_ctx: int | None = None,
) -> PromptPools:
    """Cut a corpus into sequences and draw two disjoint pools of them.

    Sequences are consecutive pieces of one document, never across documents, never overlapping, each kept once. No
    beginning-of-sequence token is added unless `prepend_bos`, which puts one in front and leaves seq_len - 1 tokens
    of text. Both pools are drawn from the documents in turn, in an order that follows from `seed`: one sequence of every
    document, then a second one, and so on. Bases are drawn first, others from what is left of all documents.

    Args:
        corpus: `wikipedia` or `lee` (packaged), a local .txt, .jsonl or .parquet file or a folder saved by `datasets`,
            or a hub dataset id, which is streamed; with a `text` or an `input_ids` column. Several, joined by `+`, are
            read one after the other.
        n_bases, n_others: sequences wanted in each pool.
        n_ctx: the model's context length, checked against `seq_len`.

    Raises:
        CorpusError: the corpus cannot be read, or holds fewer sequences than asked for, or `seq_len` is unusable.

    Example:
        >>> import plateaus_utils as pu
        >>> tokenizer = pu.load_model("tiny-random-gpt2", device="cpu").tokenizer
        >>> pools = pu.load_prompts("wikipedia+lee", tokenizer, n_bases=4, n_others=20)
        >>> pools.bases.tokens.shape, pools.others.tokens.shape
        (torch.Size([4, 10]), torch.Size([20, 10]))
        >>> len(set(pools.bases.documents)), sorted({name.split("/")[0] for name in pools.others.documents})
        (4, ['lee', 'wikipedia'])
    """
    if seq_len < 2:
        raise CorpusError(f"seq_len is {seq_len}; it must be at least 2, so that the last position has a context.")
    if min(n_bases, n_others) < 1:
        raise CorpusError(
            f"{n_bases} base and {n_others} other sequences were asked for; ask for at least one of each."
        )
    if n_ctx is not None and seq_len > n_ctx:
        raise CorpusError(
            f"seq_len is {seq_len}, longer than the model's context of {n_ctx} tokens; choose a smaller one."
        )
    bos = [tokenizer.bos_token_id] if prepend_bos else []
    if bos == [None]:
        raise CorpusError("prepend_bos was asked for, but the tokenizer has no beginning-of-sequence token.")
    found = _sequences(corpus, tokenizer, bos, seq_len, seed, n_bases, n_others)
    if len(found) < n_bases + n_others:
        raise CorpusError(
            f"The corpus '{corpus}' gives {len(found)} sequences of {seq_len} tokens, but {n_bases} bases and {n_others} "
            "others were asked for; ask for fewer, shorten seq_len, or use a larger corpus."
        )
    bases, rest = found[:n_bases], found[n_bases:]
    return PromptPools(_prompts(bases), _prompts(_in_turn(rest, np.random.default_rng([seed, 3]))[:n_others]), corpus)


def contexts(corpus: str, tokenizer: PreTrainedTokenizerBase, length: int) -> torch.Tensor:
    """All pieces [n, length] of a corpus in its order, never across documents; what a document has left over is dropped.

    Raises:
        CorpusError: see `open_corpus`; or no document is long enough.
    """
    found = [
        tokens[start : start + length]
        for tokens in _documents(open_corpus(corpus), tokenizer)
        for start in range(0, len(tokens) - length + 1, length)
    ]
    if not found:
        raise CorpusError(f"No document of the corpus '{corpus}' has {length} tokens; use a larger corpus.")
    return torch.tensor(found)


def _sequences(corpus: str, tokenizer, bos: list[int], seq_len: int, seed: int, n_bases: int, n_others: int) -> list:
    """All (document, tokens) sequences in the order in which bases are drawn; of a stream, a margin over what is wanted."""
    found: list[tuple[str, tuple[int, ...]]] = []
    seen: set[tuple[int, ...]] = set()
    step = seq_len - len(bos)
    for name, label in _labels(corpus).items():
        dataset = open_corpus(name)
        streamed = isinstance(dataset, datasets.IterableDataset)
        before, n_fruitful = len(found), 0
        for index, tokens in enumerate(_documents(dataset, tokenizer)):
            n_known = len(found)
            for start in range(0, len(tokens) - step + 1, step):
                sequence = (*bos, *tokens[start : start + step])
                if sequence not in seen:
                    seen.add(sequence)
                    found.append((f"{label}/{index}", sequence))
            n_fruitful += len(found) > n_known
            enough = n_fruitful >= STREAM_MARGIN * n_bases
            if streamed and enough and len(found) - before >= STREAM_MARGIN * (n_bases + n_others):
                break
    if len({document for document, _ in found}) == 1:
        raise CorpusError(
            f"The corpus '{corpus}' holds 1 document of {seq_len} tokens or more; a base and its targets come from different "
            "ones, so give at least two (in a text file, blank lines separate documents)."
        )
    return _in_turn(found, np.random.default_rng([seed, 2]))


def _labels(corpus: str) -> dict[str, str]:
    """What documents of each member of a `+`-joined corpus are called: its name, of a local file or folder the last part."""
    labels = {name: Path(name).name if Path(name).expanduser().exists() else name for name in members(corpus)}
    if len(set(labels.values())) < len(members(corpus)):
        raise CorpusError(f"The corpus '{corpus}' has two members of one name; name each once, or rename a file.")
    return labels


def _in_turn(sequences: list, rng: np.random.Generator) -> list:
    """(document, tokens) sequences in random order: one of every document, then a second one of every document, and so on.

    Within a turn every order of the documents is as likely, however long they are.
    """
    order = rng.permutation(len(sequences))
    turn: Counter[str] = Counter()
    turns = []
    for i in order:
        turns.append(turn[sequences[i][0]])
        turn[sequences[i][0]] += 1
    return [sequences[i] for i in order[np.lexsort((rng.random(len(order)), turns))]]


def _prompts(sequences: list) -> Prompts:
    documents, tokens = zip(*sequences, strict=True)
    return Prompts(torch.tensor(tokens, dtype=torch.int64), np.array(documents))


def elsewhere(base_documents: np.ndarray, other_documents: np.ndarray) -> torch.Tensor:
    """[n_bases, n_others] whether an other comes from another document than a base."""
    _, number = np.unique(np.concatenate([base_documents, other_documents]), return_inverse=True)
    bases, others = torch.from_numpy(number).split([len(base_documents), len(other_documents)])
    return bases[:, None] != others


def _documents(dataset: datasets.Dataset | datasets.IterableDataset, tokenizer) -> Iterator[list[int]]:
    """Token ids of each document; pre-tokenized rows are cut at the end-of-text tokens that separate documents."""
    columns = set(next(iter(dataset), {}))
    if "input_ids" in columns:
        for row in dataset:
            _require_ids(row["input_ids"], len(tokenizer))
            is_text = itertools.groupby(row["input_ids"], lambda token: token != tokenizer.eos_token_id)
            yield from (list(group) for keep, group in is_text if keep)
    elif "text" in columns:
        for row in dataset:
            if not isinstance(row["text"], str | None):
                raise CorpusError(
                    f"The column 'text' of the corpus holds {type(row['text']).__name__} values; it must hold text."
                )
            yield tokenizer(row["text"] or "", add_special_tokens=False, verbose=False)["input_ids"]
    else:
        raise CorpusError(
            "The corpus has no 'text' and no 'input_ids' column"
            + (f", only {', '.join(sorted(columns))}." if columns else ": it is empty.")
        )


def _require_ids(ids: object, n_tokens: int) -> None:
    """Refuse a row of `input_ids` that is no list of token ids of this tokenizer."""
    if not isinstance(ids, list) or not all(type(token) is int and token >= 0 for token in ids):
        raise CorpusError(
            "The column 'input_ids' of the corpus must hold lists of whole numbers from 0 up, one for each document; give "
            "token ids, or a column 'text'."
        )
    if max(ids, default=0) >= n_tokens:
        raise CorpusError(
            f"The corpus is tokenized for another model: it holds the id {max(ids)}, but the tokenizer has {n_tokens} "
            "tokens; use a corpus of text."
        )


# Corpora ------------------------------------------------------------------------------------------------------------


def open_corpus(corpus: str) -> datasets.Dataset | datasets.IterableDataset:
    """The documents of one packaged corpus, `nltk/NAME` of NLTK's collection, local file or folder, or streamed hub dataset.

    Raises:
        CorpusError: it does not exist, cannot be read, or cannot be reached.
    """
    if corpus in PACKAGED:
        return datasets.Dataset.from_dict({"text": list(PACKAGED[corpus]())})
    if corpus.startswith("nltk/"):
        return datasets.Dataset.from_dict({"text": list(_nltk(corpus.removeprefix("nltk/")))})
    path = Path(corpus).expanduser()
    if path.is_file():
        return _local_file(path)
    try:
        if path.is_dir():
            saved = datasets.load_from_disk(str(path))
            return saved["train"] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(corpus, split="train", streaming=True)
    except Exception as error:  # datasets and huggingface_hub raise a dozen unrelated types here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CorpusError(
            f"The corpus '{corpus}' is no packaged corpus ({', '.join(PACKAGED)}) or local file, and no "
            f"dataset could be opened under that name ({reason}); HF_HOME, HF_HUB_OFFLINE and HF_TOKEN say "
            "where and how the hub is reached."
        ) from error


SUFFIXES = ("", ".txt", ".md", ".jsonl", ".parquet")
"""Kinds of file that hold documents, in small or capital letters; others, such as tables or HTML, are no prose."""


def _local_file(path: Path) -> datasets.Dataset:
    """A text file with blank lines between documents, or a .jsonl or .parquet file with one row per document."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CorpusError(
            f"The file {path.name} is of a kind ({suffix}) that is not read as prose; give .txt, .md, .jsonl or .parquet."
        )
    try:
        if suffix == ".parquet":
            return datasets.Dataset.from_parquet(str(path))
        text = path.read_text(encoding="utf-8")
        if not text.strip() or "\0" in text:
            raise CorpusError(f"The file {path.name} is {'binary' if text.strip() else 'empty'}; give UTF-8 text.")
        if suffix == ".jsonl":
            return datasets.Dataset.from_json(str(path))
        return datasets.Dataset.from_dict(
            {"text": [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]}
        )
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"The file {path.name} is not UTF-8 text (byte {error.start}); give text, .jsonl or .parquet."
        ) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(
            f"The file {path.name} cannot be read as {path.suffix or 'text'} ({type(error).__name__})."
        ) from error


def _gensim_file(name: str) -> Path:
    """A corpus that gensim's wheel ships for its own tests; gensim itself need not be imported to find it."""
    package = Path(importlib.util.find_spec("gensim").origin).parent
    return package / "test" / "test_data" / name


def _lee() -> Iterator[str]:
    """The Lee background corpus: one short news article a line."""
    for line in _gensim_file("lee_background.cor").read_text(encoding="utf-8").splitlines():
        yield line.strip()


def _wikipedia() -> Iterator[str]:
    """Articles of a sample of the English Wikipedia: running text, without redirects, tables, lists and headings."""
    from gensim.corpora.wikicorpus import (
        filter_wiki,
    )  # imported here: it takes seconds, and other corpora do not need it

    with bz2.open(_gensim_file("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2")) as dump:
        for _, element in ElementTree.iterparse(dump):
            if not element.tag.endswith("}text"):
                continue
            raw = element.text or ""
            if raw.lower().startswith("#redirect"):
                continue
            text = filter_wiki(_without_tables(raw)).replace("'''", "").replace("''", "")
            lines = (line.strip() for line in text.splitlines())
            prose = "\n".join(line for line in lines if len(line) > 80 and line[0] not in "*#:;|!={}<&")
            if prose:
                yield prose


def _without_tables(raw: str) -> str:
    """Wikitext without its tables, innermost first."""
    table = re.compile(r"\{\|(?:(?!\{\||\|\}).)*\|\}", re.DOTALL)
    while (shorter := table.sub("", raw)) != raw:
        raw = shorter
    return raw


def _nltk(name: str) -> Iterator[str]:
    """The files of a corpus of the NLTK collection, read from where NLTK_DATA says."""
    import nltk.corpus  # imported here: only the training of SAEs needs it

    try:
        reader = getattr(nltk.corpus, name)
        files = reader.fileids()
    except (AttributeError, LookupError) as error:
        raise CorpusError(
            f"The corpus 'nltk/{name}' is not installed; run `python -m nltk.downloader {name}`, or let NLTK_DATA name "
            "the folder that holds it."
        ) from error
    for file in files:
        yield reader.raw(file)


PACKAGED: dict[str, Callable[[], Iterator[str]]] = {"wikipedia": _wikipedia, "lee": _lee}
