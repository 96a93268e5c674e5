"""The builders of document shards: a slice of a raw file, a whole corpus, the training texts of labelled tasks.

What was read, and what filters, duplicates and held-out texts take away, is counted rule by rule: the counts
read as a waterfall from records to documents.

Nothing here knows tokens; shards hold text (`store/schemas.py`, DOCUMENTS).
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bert_core.config import CorpusConfig
from bert_core.corpus.clean import document_id, normalise
from bert_core.corpus.decontaminate import KINDS, HeldOutTexts
from bert_core.corpus.deduplicate import find_duplicates, largest_clusters
from bert_core.corpus.near_duplicates import near_duplicates_of
from bert_core.corpus.paths import RawFile
from bert_core.corpus.remote import local_copy
from bert_core.corpus.slice_reading import SliceReading
from bert_core.corpus.slices import Slice
from bert_core.errors import CorpusError
from bert_core.progress import Progress, silent
from bert_core.store.fingerprint import digest_of_file
from bert_core.store.schemas import DOCUMENTS
from bert_core.store.shards import read_shards, write_shards

COUNTS_NAME = "counts.json"
QUARANTINE_NAME = "quarantine.jsonl"
NUM_CLUSTERS_NAMED = 20
"""How many of the largest clusters of duplicates the counts name."""
EXCERPT_CHARACTERS = 40
"""How much of the document that a cluster keeps the counts show, characters."""


def build_slice(piece: Slice, config: CorpusConfig, folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Read and clean the documents of one slice.

    Writes `documents-*.arrow`, `quarantine.jsonl` (file, line, byte_offset, reason, excerpt) and `counts.json`.

    Args:
        piece: range of a raw file.
        config: how it is read, repaired and filtered.
        folder: empty folder for the files.
        progress: told bytes.

    Returns:
        Counts: seen, used, repaired, quarantined (records); reasons, repairs, encodings, dropped (by name); cut
        (documents longer than max_characters); documents (rows written), characters; files (seen, used, repaired,
        quarantined of the file).

    Raises:
        CorpusError: too many records are unreadable, the text column is missing, or the file changed meanwhile.
    """
    if piece.file.remote is not None:
        with local_copy(piece.file.name, piece.file.remote, folder) as path:
            local = replace(piece, file=RawFile(piece.file.name, path), digest=digest_of_file(path))
            return build_slice(local, config, folder, progress)
    reading = SliceReading(piece, config, progress)
    with (folder / QUARANTINE_NAME).open("w", encoding="utf-8", newline="\n") as quarantine:
        num_rows = write_shards(folder, "documents", DOCUMENTS, reading.tables(quarantine))
    reading.check()
    counts = reading.counts(num_rows)
    (folder / COUNTS_NAME).write_text(json.dumps(counts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return counts


def build_documents(
    slice_folders: Sequence[Path],
    config: CorpusConfig,
    held_out_folders: Sequence[Path],
    folder: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Merge slices into one corpus without duplicates and without dev or test texts.

    Args:
        slice_folders: outputs of `build_slice`, in the order of the corpus.
        config: says whether duplicates go.
        held_out_folders: outputs of splits; their `dev` and `test` records are kept out of the corpus.
        folder: empty folder for `documents-*.arrow`.
        progress: told rows.

    Returns:
        Counts: the sums of the slices' counts; duplicates, duplicate_clusters; near_duplicates,
        near_duplicate_clusters, largest_clusters (where the kept document stands, documents); contaminated by kind
        (equal, contains, inside, near); documents, characters; by_file (documents of each file); files (seen, used,
        repaired, quarantined of each file).

    Raises:
        CorpusError: no document is left; the message holds the waterfall.
    """
    counts = _summed_counts(slice_folders)
    files = counts.pop("files", {})
    for name, books in files.items():
        assert books["used"] + books["repaired"] + books["quarantined"] == books["seen"], (name, books)
    tables = [read_shards(slice_folder, "documents") for slice_folder in slice_folders]
    held_out = HeldOutTexts(
        normalise(text)
        for held_out_folder in held_out_folders
        for split in ("dev", "test")
        for text in _texts_of(read_shards(held_out_folder, split))
    )
    by_file: Counter[str] = Counter()
    merged = _merged(tables, config.deduplicate, config.near_similarity, held_out, counts, by_file, progress)
    counts["documents"] = write_shards(folder, "documents", DOCUMENTS, merged)
    counts["by_file"] = dict(sorted(by_file.items()))
    counts["files"] = files
    if counts["documents"] == 0:
        raise CorpusError(f"corpus {config.paths}: no document is left; {_waterfall(counts)}; check format and filters")
    return counts


def build_record_documents(split_folders: Sequence[Path], folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Turn the texts of labelled training records into documents; labels are left behind.

    Args:
        split_folders: outputs of splits; their `train` records are read.
        folder: empty folder for `documents-*.arrow`.
        progress: told rows.

    Returns:
        Counts: seen, duplicates, duplicate_clusters, documents, characters, by_file.

    Raises:
        CorpusError: there is no training record.
    """
    counts: dict[str, Any] = {}
    tables = [_documents_of_records(read_shards(split, "train")) for split in split_folders]
    counts["seen"] = sum(table.num_rows for table in tables)
    by_file: Counter[str] = Counter()
    merged = _merged(tables, "exact", 1.0, HeldOutTexts(()), counts, by_file, progress)
    counts["documents"] = write_shards(folder, "documents", DOCUMENTS, merged)
    counts["by_file"] = dict(sorted(by_file.items()))
    if counts["documents"] == 0:
        raise CorpusError("task_transfer: its tasks have no training record; check the tasks' sources and fractions")
    return counts


def _merged(
    tables: Sequence[pa.Table],
    deduplicate: str,
    near_similarity: float,
    held_out: HeldOutTexts,
    counts: dict[str, Any],
    by_file: Counter[str],
    progress: Progress,
) -> Iterator[pa.Table]:
    """Yield the rows that stay, table by table, and write what went into `counts`."""
    num_rows = sum(table.num_rows for table in tables)
    keep, kept_for = np.ones(num_rows, bool), np.arange(num_rows)
    counts |= {"duplicates": 0, "duplicate_clusters": 0, "near_duplicates": 0, "near_duplicate_clusters": 0}
    counts["contaminated"] = dict.fromkeys(KINDS.values(), 0)
    counts["characters"] = 0
    if deduplicate != "none" and num_rows:
        doc_ids = np.concatenate([table["doc_id"].to_numpy() for table in tables])
        duplicates = find_duplicates(doc_ids)
        keep = duplicates.keep
        kept_for = duplicates.kept_for
        counts |= {"duplicates": duplicates.num_dropped, "duplicate_clusters": duplicates.num_clusters}
    if deduplicate == "near" and num_rows:
        kept_rows = np.flatnonzero(keep)
        near = near_duplicates_of(tables, kept_rows, near_similarity, progress)
        repeats = near != np.arange(len(near))
        keep[kept_rows[repeats]] = False
        counts["near_duplicates"] = int(repeats.sum())
        counts["near_duplicate_clusters"] = len(np.unique(near[repeats]))
        stands_for = np.arange(num_rows)
        stands_for[kept_rows] = kept_rows[near]
        kept_for = stands_for[kept_for]
    counts["largest_clusters"] = _described(tables, *largest_clusters(kept_for, NUM_CLUSTERS_NAMED))
    first = 0
    for table in tables:
        rows = table.filter(pa.array(keep[first : first + table.num_rows]))
        first += table.num_rows
        if len(held_out):
            kinds = held_out.kinds_of([normalise(text) for text in rows["text"].to_pylist()])
            for kind, name in KINDS.items():
                counts["contaminated"][name] += int((kinds == kind).sum())
            rows = rows.filter(pa.array(kinds == 0))
        counts["characters"] += int(pc.call_function("utf8_length", [rows["text"]]).to_numpy().sum())
        for pair in rows["file"].cast(pa.string()).value_counts().to_pylist():
            by_file[pair["values"]] += pair["counts"]
        progress(first, num_rows, "rows")
        if rows.num_rows:
            yield rows


def _described(tables: Sequence[pa.Table], rows: np.ndarray, sizes: np.ndarray) -> list[dict[str, Any]]:
    """Say of clusters of duplicates where the document that is kept stands, how it begins and how many there are."""
    ends = np.cumsum([table.num_rows for table in tables])
    described = []
    for row, size in zip(rows.tolist(), sizes.tolist(), strict=True):
        number = int(np.searchsorted(ends, row, side="right"))
        (kept,) = tables[number].slice(row - int(ends[number]) + tables[number].num_rows, 1).to_pylist()
        begins = kept["text"][:EXCERPT_CHARACTERS]
        described.append({"file": kept["file"], "line": kept["line"], "documents": size, "begins": begins})
    return described


def _documents_of_records(records: pa.Table) -> pa.Table:
    """One document a record; of a pair both texts, a paragraph each; a context once, followed by its questions."""
    if records.num_rows and records["label"].null_count == records.num_rows and not records["text_pair"].null_count:
        return _documents_of_contexts(records)
    pairs = zip(records["text"].to_pylist(), records["text_pair"].to_pylist(), strict=True)
    texts = [text if second is None else f"{text}\n{second}" for text, second in pairs]
    return _documents_of_texts(texts, records)


def _documents_of_contexts(records: pa.Table) -> pa.Table:
    """One document a context, with the questions about it behind; the place is that of the first question."""
    rows: dict[str, list[int]] = {}
    for row, context in enumerate(records["text_pair"].to_pylist()):
        rows.setdefault(context, []).append(row)
    questions = records["text"].to_pylist()
    texts = ["\n".join([context, *(questions[row] for row in asked)]) for context, asked in rows.items()]
    return _documents_of_texts(texts, records.take([asked[0] for asked in rows.values()]))


def _documents_of_texts(texts: list[str], records: pa.Table) -> pa.Table:
    """Documents of some texts, each at the place of its record."""
    columns = {
        "doc_id": pa.array([document_id(text) for text in texts], pa.uint64()),
        "text": pa.array(texts, pa.string()),
        "file": records["file"].cast(DOCUMENTS.field("file").type),
        "line": records["line"],
        "byte_offset": pa.nulls(len(texts), pa.uint64()),
        "encoding": pa.nulls(len(texts), DOCUMENTS.field("encoding").type),
        "repairs": pa.array([[]] * len(texts), pa.list_(pa.string())),
    }
    return pa.table(columns, schema=DOCUMENTS)


def _texts_of(records: pa.Table) -> list[str]:
    """Return the texts of scored records, both of a pair: neither may stand in a corpus."""
    return [text for column in ("text", "text_pair") for text in records[column].to_pylist() if text is not None]


def _summed_counts(slice_folders: Sequence[Path]) -> dict[str, Any]:
    """Add up the counts that the slices wrote beside their shards."""
    summed: dict[str, Any] = {}
    for slice_folder in slice_folders:
        _add(summed, json.loads((slice_folder / COUNTS_NAME).read_text(encoding="utf-8")))
    return summed


def _add(summed: dict[str, Any], counts: dict[str, Any]) -> None:
    """Add nested counts to a sum; names within it stand in order."""
    for name, value in counts.items():
        if isinstance(value, dict):
            part = summed.get(name, {})
            _add(part, value)
            summed[name] = dict(sorted(part.items()))
        else:
            summed[name] = summed.get(name, 0) + value


def _waterfall(counts: dict[str, Any]) -> str:
    """Say in one line where the records went."""
    steps = [f"{counts.get('seen', 0):,} records seen", f"{counts.get('quarantined', 0):,} quarantined"]
    steps += [f"{number:,} dropped by {name}" for name, number in counts.get("dropped", {}).items()]
    steps.append(f"{counts['duplicates']:,} duplicates")
    if counts["near_duplicates"]:
        steps.append(f"{counts['near_duplicates']:,} near duplicates")
    steps += [f"{number:,} {name} a held-out text" for name, number in counts["contaminated"].items() if number]
    return ", ".join(steps)
