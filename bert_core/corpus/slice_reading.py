"""One slice of a raw file, read record by record, with the books kept.

Every record has one outcome: used (as it was), repaired (by named rules) or quarantined (with reason, file,
line and byte), and the three add up to what was seen. Filters come after: what they drop was used or repaired.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

import pyarrow as pa

from bert_core.config import CorpusConfig
from bert_core.corpus.clean import clean, document_id, han_share
from bert_core.corpus.raw_record import RawRecord
from bert_core.corpus.readers import missing_column, read_records
from bert_core.corpus.sentences import split_sentences
from bert_core.corpus.slices import Slice
from bert_core.errors import CorpusError
from bert_core.progress import Progress
from bert_core.store.fingerprint import digest_of_file
from bert_core.store.schemas import DOCUMENTS

_ROWS_AT_ONCE = 4096
_CHARACTERS_AT_ONCE = 8 << 20  # rows may be long, and memory is to stay flat
_EXCERPT_CHARACTERS = 200
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


class SliceReading:
    """Reads one slice into tables and keeps the books."""

    def __init__(self, piece: Slice, config: CorpusConfig, progress: Progress) -> None:
        self.piece, self.config, self.progress = piece, config, progress
        self.num_seen = 0
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.encodings: Counter[str] = Counter()
        self.num_cut = 0
        self.num_characters = 0
        self.first_faults: list[str] = []
        self.without_column: RawRecord | None = None

    def tables(self, quarantine: TextIO) -> Iterator[pa.Table]:
        """Yield the slice's documents; write what cannot be read to the open file `quarantine`."""
        piece, config = self.piece, self.config
        total = piece.num_bytes or piece.file.path.stat().st_size
        rows: list[tuple[str, RawRecord, list[str]]] = []
        num_characters = 0
        for record in read_records(piece.file, config, piece.start, piece.num_bytes, piece.first_line):
            self.num_seen += 1
            if record.text is None:
                quarantine.write(self._quarantined(record))
                continue
            text, repairs = clean(record.text, config)
            repairs = record.repairs + repairs
            self.outcomes["repaired" if repairs else "used"] += 1
            self.repairs.update(repairs)
            self.encodings[record.encoding] += 1
            for part in self._filtered(text):
                rows.append((part, record, repairs))
                num_characters += len(part)
            if len(rows) >= _ROWS_AT_ONCE or num_characters >= _CHARACTERS_AT_ONCE:
                yield self._table(rows)
                rows, num_characters = [], 0
                self.progress(min(record.byte_offset - piece.start, total), total, "bytes")
        if rows:
            yield self._table(rows)
        self.progress(total, total, "bytes")

    def check(self) -> None:
        """Refuse a slice whose column is missing, whose faults are too many, or that changed while it was read."""
        piece, file = self.piece, self.piece.file
        num_bad, seen = self.outcomes["quarantined"], self.num_seen
        if self.without_column is not None and num_bad == seen:
            raise missing_column(
                file, self.without_column.line, self.config.text_column, self.without_column.columns or []
            )
        if num_bad > self.config.max_bad_fraction * seen:
            raise CorpusError(
                f"{file.name}: {num_bad:,} of {seen:,} records ({num_bad / seen:.1%}) are unreadable, expected at most "
                f"max_bad_fraction = {self.config.max_bad_fraction:g}; first: {'; '.join(self.first_faults)}; "
                "mend the file, set its format and encoding, or raise max_bad_fraction"
            )
        if digest_of_file(file.path, piece.start, piece.num_bytes) != piece.digest:
            raise CorpusError(f"{file.name}: changed while it was read; wait until it is whole and run again")

    def counts(self, num_rows: int) -> dict[str, Any]:
        """Return the books as plain JSON values."""
        outcomes = {name: self.outcomes[name] for name in ("used", "repaired", "quarantined")}
        assert sum(outcomes.values()) == self.num_seen, (outcomes, self.num_seen)
        books = {"seen": self.num_seen, **outcomes}
        return {
            **books,
            "reasons": dict(sorted(self.reasons.items())),
            "repairs": dict(sorted(self.repairs.items())),
            "encodings": dict(sorted(self.encodings.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "cut": self.num_cut,
            "documents": num_rows,
            "characters": self.num_characters,
            "files": {self.piece.file.name: books},
        }

    def _filtered(self, text: str) -> list[str]:
        """Return the documents that a cleaned text becomes: none, one, or several where it is too long."""
        config = self.config
        if len(text) < config.min_characters:
            self.dropped["min_characters"] += 1
            return []
        if config.min_han_share > 0.0 and han_share(text) < config.min_han_share:
            self.dropped["min_han_share"] += 1
            return []
        if len(text) <= config.max_characters:
            return [text]
        self.num_cut += 1
        return cut_at_sentences(text, config.max_characters)

    def _quarantined(self, record: RawRecord) -> str:
        assert record.fault is not None
        self.outcomes["quarantined"] += 1
        self.reasons[record.fault.partition(":")[0]] += 1
        if record.columns is not None and self.without_column is None:
            self.without_column = record
        if len(self.first_faults) < 3:
            self.first_faults.append(f"{self.piece.file.name}:{record.line} {record.fault}")
        row = {
            "file": self.piece.file.name,
            "line": record.line,
            "byte_offset": record.byte_offset,
            "reason": record.fault,
            "excerpt": _escaped(record.excerpt),
        }
        return json.dumps(row, ensure_ascii=False) + "\n"

    def _table(self, rows: list[tuple[str, RawRecord, list[str]]]) -> pa.Table:
        self.num_characters += sum(len(text) for text, _, _ in rows)
        records = [record for _, record, _ in rows]
        columns = {
            "doc_id": pa.array([document_id(text) for text, _, _ in rows], pa.uint64()),
            "text": pa.array([text for text, _, _ in rows], pa.string()),
            "file": pa.array([self.piece.file.name] * len(rows)).dictionary_encode(),
            "line": pa.array([record.line for record in records], pa.uint32()),
            "byte_offset": pa.array([record.byte_offset for record in records], pa.uint64()),
            "encoding": pa.array([record.encoding for record in records]).dictionary_encode(),
            "repairs": pa.array([repairs for _, _, repairs in rows], pa.list_(pa.string())),
        }
        return pa.table(columns, schema=DOCUMENTS)


def cut_at_sentences(text: str, max_characters: int) -> list[str]:
    """Cut a text into pieces of at most `max_characters`, at sentence ends where there are any.

    Example: `cut_at_sentences("甲乙。丙丁。戊己。", 6)` -> `["甲乙。丙丁。", "戊己。"]`.
    """
    pieces: list[str] = []
    current = ""
    for sentence in split_sentences(text):
        if current and len(current) + len(sentence) > max_characters:
            pieces.append(current)
            current = ""
        current += sentence
        while len(current) > max_characters:
            pieces.append(current[:max_characters])
            current = current[max_characters:]
    stripped = (piece.strip() for piece in [*pieces, current])
    return [piece for piece in stripped if piece]


def _escaped(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text[:_EXCERPT_CHARACTERS])
