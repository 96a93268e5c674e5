"""The text that all sides work on: Chinese from `shared/data` beside the checkout, English from this machine.

Chinese: translated articles with Markdown (lctt_articles), modern Chinese histories (classics_modern) and laws,
one document each. English: the docstrings of each module in site-packages, and the README and METADATA files
there; so it depends on what is installed, and `digest` says which text it was. Documents are put in a fixed
random order, so that a small part is a sample of the whole, and cut to a fixed number of bytes. Nothing is
cleaned here: that is measured.
"""

import gzip
import hashlib
import json
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bert_core.randomness import key_of, permutation

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "workspace-benchmarks"
"""Where texts are kept between runs; git does not see it."""
VOCABULARIES = {"zh": "google_zh_vocab.txt", "en": "google_uncased_en_vocab.txt"}
_DOCSTRING = re.compile(r'"""(.*?)"""', re.DOTALL)
_MIN_DOCSTRING_CHARACTERS = 200
_MIN_DOCUMENT_BYTES = 500


def vocabulary(language: str) -> Path:
    """Return Google's vocabulary of `zh` or `en`."""
    return DATA / "vocab" / VOCABULARIES[language]


def raw_text(language: str, num_bytes: int) -> Path:
    """Return a file of at least `num_bytes` of raw text, one document a line as `{"text": ...}`; kept for the next run.

    Raises:
        SystemExit: the machine does not hold as much text.
    """
    path = KEPT / f"{language}-{num_bytes}.jsonl"
    if path.exists():
        return path
    documents = list(dict.fromkeys(_CHINESE_OR_ENGLISH[language]()))
    KEPT.mkdir(exist_ok=True)
    being_written, written = path.with_suffix(".writing"), 0
    with being_written.open("w", encoding="utf-8") as opened:
        for index in permutation(len(documents), key_of("benchmarks", language)):
            opened.write(json.dumps({"text": documents[index]}, ensure_ascii=False) + "\n")
            written += len(documents[index].encode())
            if written >= num_bytes:
                break
    if written < num_bytes:
        being_written.unlink()
        raise SystemExit(f"{language}: {written:,} bytes of text on this machine, expected {num_bytes:,}")
    being_written.rename(path)
    return path


def repeated(path: Path, times: int) -> Path:
    """Return a file with the same documents several times over, each copy marked so that none is a duplicate."""
    target = path.with_name(f"{path.stem}-x{times}.jsonl")
    with path.open(encoding="utf-8") as opened:
        texts = [json.loads(line)["text"] for line in opened]
    with target.open("w", encoding="utf-8") as opened:
        for copy in range(times):
            for one in texts:
                opened.write(json.dumps({"text": f"第{copy}份。\n{one}"}, ensure_ascii=False) + "\n")
    return target


def digest(path: Path) -> str:
    """Return the first 16 digits of the sha256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


@dataclass(frozen=True)
class Part:
    """A part of a corpus in the forms that the peers read."""

    sentences: Path
    """One sentence a line, an empty line between documents (google-research)."""
    documents: Path
    """One document a line as JSON (transformers, LDDL)."""
    num_bytes: int
    """Of the documents' text in UTF-8."""


def write_part(documents_folder: Path, folder: Path, num_bytes: int) -> Part:
    """Write the first documents of a built corpus in the forms that the peers read."""
    from bert_core.corpus.sentences import split_sentences
    from bert_core.store.shards import read_shards

    sentences_path, documents_path, written = folder / "sentences.txt", folder / "documents.jsonl", 0
    with (
        sentences_path.open("w", encoding="utf-8") as lines,
        documents_path.open("w", encoding="utf-8") as rows,
    ):
        for text in read_shards(documents_folder, "documents").column("text"):
            document = text.as_py()
            sentences = [" ".join(sentence.split()) for sentence in split_sentences(document)]
            lines.write("\n".join(filter(None, sentences)) + "\n\n")
            rows.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
            written += len(document.encode())
            if written >= num_bytes:
                break
    return Part(sentences_path, documents_path, written)


def _chinese() -> Iterator[str]:
    for path in sorted((DATA / "general").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as opened:
            for line in opened:
                yield json.loads(line)["text"]
    for path in sorted((DATA / "domain" / "laws").rglob("*.md")):
        yield path.read_text(encoding="utf-8", errors="replace")


def _english() -> Iterator[str]:
    packages = Path(sysconfig.get_paths()["purelib"])
    for path in sorted(packages.rglob("*")):
        if path.suffix == ".py" and path.is_file():
            source = path.read_text(encoding="utf-8", errors="replace")
            found = [text for text in _DOCSTRING.findall(source) if len(text) >= _MIN_DOCSTRING_CHARACTERS]
            document = "\n".join(line.strip() for text in found for line in text.splitlines() if line.strip())
        elif path.name == "METADATA" or path.name.lower().startswith("readme"):
            document = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        else:
            continue
        if len(document) >= _MIN_DOCUMENT_BYTES:
            yield document


_CHINESE_OR_ENGLISH = {"zh": _chinese, "en": _english}
