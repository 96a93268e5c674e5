"""Where both sides of an example stand in the raw text: file, line, paragraph, and the text itself.

A token's place in its document is in the example; the place in the text is found by tokenizing the document again. A
passage whose tokens are not those of the example (the documents were built anew since) is given without its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bert_core.examples.inspect import ExampleView
from bert_core.report.explore import document_places
from bert_core.store.manifest import Manifest

Side = Literal["A", "B"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """One side of an example in its document."""

    place: str
    """`file:line` of the document's first line; empty where the document stands no more."""
    doc_id: int
    first_token: int
    """In the document, from 0."""
    paragraph: int
    """Of the document, from 1; 0 where the text is not known."""
    first_character: int
    """In the document's cleaned text, from 0."""
    stop_character: int
    """One past the last."""
    text: str
    """Cleaned text, before tokens; empty where it is not known."""

    def describe(self) -> str:
        """Say where it stands.

        Example: `news.txt:12, paragraph 2, characters 40 to 71, document 00000000000000ab, token 31`.
        """
        place = self.place or "a document that stands no more"
        inside = f", paragraph {self.paragraph}, characters {self.first_character} to {self.stop_character}"
        return f"{place}{inside if self.text else ''}, document {self.doc_id:016x}, token {self.first_token}"


def passages_of(
    outputs: Mapping[str, tuple[Path, Manifest]], examples_stage: str, views: Sequence[ExampleView]
) -> dict[tuple[int, Side], Passage]:
    """Find the passages of some examples.

    Args:
        outputs: folder and manifest by stage id.
        examples_stage: stage of the examples; it stands.
        views: examples of it.

    Returns:
        Passages by row and side; no B where there is no pair.
    """
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    parents = outputs[examples_stage][1].parents
    tokens = outputs.get(parents["tokens"].stage)
    documents = outputs.get(tokens[1].parents["documents"].stage) if tokens is not None else None
    vocabulary = outputs.get(parents["vocabulary"].stage)
    places = document_places(outputs, views)
    wanted = {doc_id for view in views for doc_id in (view.doc_id_a, view.doc_id_b)}
    texts = _texts_of(documents[0], wanted) if documents is not None else {}
    tokenizer = WordPieceTokenizer.from_folder(vocabulary[0]) if vocabulary is not None else None
    found: dict[tuple[int, Side], Passage] = {}
    for view in views:
        sides: list[tuple[Side, int, int, list[str]]] = [
            ("A", view.doc_id_a, view.token_a, view.tokens[1 : 1 + view.length_a]),
            ("B", view.doc_id_b, view.token_b, view.tokens[view.length_a + 2 : -1]),
        ]
        for side, doc_id, first, entries in sides:
            if first < 0:
                continue
            at = (0, 0)
            text = texts.get(doc_id, "")
            if tokenizer is not None and entries:
                encoded = tokenizer.encode([text])
                stop = first + len(entries)
                if [tokenizer.entries[index] for index in encoded.ids[first:stop]] == entries:
                    at = (int(encoded.char_starts[first]), int(encoded.char_ends[stop - 1]))
            found[view.row, side] = Passage(
                place=places.get(doc_id, ""),
                doc_id=doc_id,
                first_token=first,
                paragraph=text.count("\n", 0, at[0]) + 1 if at[1] else 0,
                first_character=at[0],
                stop_character=at[1],
                text=text[at[0] : at[1]],
            )
    return found


def _texts_of(folder: Path, doc_ids: set[int]) -> dict[int, str]:
    """Read the texts of some documents by id; of documents with one id the first."""
    from bert_core.store.shards import read_shard

    wanted = np.array(sorted(doc_ids), np.uint64)
    texts: dict[int, str] = {}
    for path in sorted(folder.glob("documents-*.arrow")):
        table = read_shard(path).select(["doc_id", "text"])
        rows = table.take(np.flatnonzero(np.isin(table.column("doc_id").to_numpy(), wanted)))
        for doc_id, text in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            texts.setdefault(doc_id, text)
    return texts
