"""A vocabulary on disk: one folder that this project and transformers both read.

`vocab.txt` holds one entry a line, its line number being its id; `tokenizer_config.json` says whether letters are
folded; `tokenizer.json` is what `transformers.AutoTokenizer` loads. A model folder that has `tokenizer.json` alone is
read as well. Nothing here trains a vocabulary (`vocabulary.py`) or encodes text (`tokenizer.py`).

Source: Devlin et al. 2019 (arXiv:1810.04805), section 3; the file layout of transformers' BertTokenizer.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_core.errors import RequestError

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_ENTRIES = (PAD, UNK, CLS, SEP, MASK)
VOCABULARY_NAME = "vocab.txt"
TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
CONTINUATION = "##"
"""Prefix of an entry that goes on with a word."""
MAX_WORD_CHARACTERS = 100
"""A longer word becomes one [UNK], characters."""


def load_vocabulary(folder: Path) -> list[str]:
    """Read the entries of a vocabulary folder, a model folder or a vocab.txt.

    Args:
        folder: with `vocab.txt` or a `tokenizer.json` of kind WordPiece; or the file itself.

    Returns:
        Entries; an entry's index is its id.

    Raises:
        RequestError: no vocabulary there, or one with missing special entries or duplicates.
    """
    path = _vocabulary_path(folder)
    try:
        text = path.read_bytes().decode("utf-8-sig")  # no newline is translated
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    entries = _entries_of_json(path, text) if path.name == TOKENIZER_NAME else _entries_of_text(text)
    check_entries(entries, str(path))
    return entries


def check_entries(entries: Sequence[str], subject: str) -> None:
    """Refuse a vocabulary that a BERT cannot use.

    Args:
        entries: in order of id.
        subject: what they come from, as error messages name it.

    Raises:
        RequestError: special entries are missing, or an entry stands twice.
    """
    known = set(entries)
    if missing := [entry for entry in SPECIAL_ENTRIES if entry not in known]:
        raise RequestError(
            f"{subject}: {len(entries)} entries without {', '.join(missing)}; expected all of "
            f"{', '.join(SPECIAL_ENTRIES)}, one a line; is it the vocabulary of a BERT?"
        )
    if len(known) < len(entries):
        repeated = {entry for entry, count in Counter(entries).items() if count > 1}
        lines: dict[str, list[int]] = {}
        for line, entry in enumerate(entries, start=1):
            if entry in repeated:
                lines.setdefault(entry, []).append(line)
        shown = "; ".join(f"{entry!r} on lines {numbers}" for entry, numbers in list(lines.items())[:5])
        raise RequestError(
            f"{subject}:{next(iter(lines.values()))[1]}: {len(repeated)} entries stand more than once ({shown}); "
            "expected each once; an id must have one meaning: remove the repeats"
        )


def folding_of(folder: Path) -> tuple[bool, bool]:
    """Say whether a vocabulary folder folds letters, and whether it strips accents.

    Where it does not say, letters are folded, and accents are stripped where letters are folded, as in transformers.

    Raises:
        RequestError: the folder asks for a normalisation that this project does not do.
    """
    path = folder / TOKENIZER_CONFIG_NAME
    if not path.exists():
        return True, True
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error}); write it anew") from None
    lowercase = bool(config.get("do_lower_case", True))
    strip_accents = config.get("strip_accents")
    if not config.get("tokenize_chinese_chars", True):
        raise RequestError(f"{path}: tokenize_chinese_chars false, expected true; remove it")
    return lowercase, lowercase if strip_accents is None else bool(strip_accents)


def write_vocabulary(entries: Sequence[str], lowercase: bool, folder: Path, strip_accents: bool | None = None) -> None:
    """Write `vocab.txt`, `tokenizer.json` and `tokenizer_config.json` into a folder; equal input, equal bytes.

    Args:
        entries: in order of id.
        lowercase: whether letters are folded.
        folder: where the files go; must exist.
        strip_accents: whether accents are stripped; None to do as `lowercase` says.
    """
    from tokenizers import AddedToken, processors

    (folder / VOCABULARY_NAME).write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8", newline="\n")
    library = library_tokenizer(entries, lowercase, strip_accents)
    library.add_special_tokens([AddedToken(entry, special=True, normalized=False) for entry in SPECIAL_ENTRIES])
    ids = {entry: entries.index(entry) for entry in (CLS, SEP)}
    library.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=list(ids.items())
    )
    (folder / TOKENIZER_NAME).write_text(library.to_str(pretty=True) + "\n", encoding="utf-8", newline="\n")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": strip_accents,
        "tokenize_chinese_chars": True,
        "model_max_length": 512,
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    (folder / TOKENIZER_CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n")


def library_tokenizer(entries: Sequence[str], lowercase: bool, strip_accents: bool | None = None) -> Any:
    """Return the tokenizers library's BERT WordPiece tokenizer, without special tokens.

    It is the definition of what this project's tokenizer computes. Special entries are left out of it on purpose:
    a literal "[MASK]" in raw text is text.
    """
    from tokenizers import Tokenizer, decoders, models

    library = Tokenizer(
        models.WordPiece(
            {entry: index for index, entry in enumerate(entries)},
            unk_token=UNK,
            max_input_chars_per_word=MAX_WORD_CHARACTERS,
        )
    )
    library.normalizer, library.pre_tokenizer = library_stages(lowercase, strip_accents)
    library.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return library


def library_stages(lowercase: bool, strip_accents: bool | None = None) -> tuple[Any, Any]:
    """Return the library's BERT normaliser and pre-tokenizer."""
    from tokenizers import normalizers, pre_tokenizers

    strips = lowercase if strip_accents is None else strip_accents
    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=strips, lowercase=lowercase
    )
    return normalizer, pre_tokenizers.BertPreTokenizer()


def _vocabulary_path(folder: Path) -> Path:
    if folder.is_file():
        return folder
    for name in (VOCABULARY_NAME, TOKENIZER_NAME):
        if (folder / name).is_file():
            return folder / name
    raise RequestError(
        f"{folder}: no {VOCABULARY_NAME} and no {TOKENIZER_NAME}; expected the folder of a vocabulary or of a BERT"
    )


def _entries_of_text(text: str) -> list[str]:
    lines = text.split("\n")  # not splitlines: entries may hold U+2028 and U+0085
    if lines[-1] == "":
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _entries_of_json(path: Path, text: str) -> list[str]:
    try:
        model = json.loads(text).get("model", {})
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error}); take the model's folder anew") from None
    if model.get("type") != "WordPiece":
        raise RequestError(f"{path}: a tokenizer of kind {model.get('type')!r}, expected 'WordPiece', that of BERT")
    vocabulary: dict[str, int] = model["vocab"]
    entries = sorted(vocabulary, key=lambda entry: vocabulary[entry])
    if [vocabulary[entry] for entry in entries] != list(range(len(entries))):
        raise RequestError(f"{path}: ids of {len(entries)} entries with gaps, expected 0 to {len(entries) - 1}")
    return entries
