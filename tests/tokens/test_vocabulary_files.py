"""Vocabulary folders: read, refused, written, and read by transformers."""

import json
import re
from pathlib import Path

import pytest

from bert_core.errors import RequestError
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, folding_of, load_vocabulary, write_vocabulary

ENTRIES = ["[PAD]", "x", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "我", "play", "##ing", "a\u2028b"]


def test_written_folder_is_read_back(tmp_path: Path):
    write_vocabulary(ENTRIES, False, tmp_path)
    assert load_vocabulary(tmp_path) == ENTRIES
    assert folding_of(tmp_path) == (False, False)
    (tmp_path / "vocab.txt").unlink()
    assert load_vocabulary(tmp_path) == ENTRIES  # from tokenizer.json
    tokenizer = WordPieceTokenizer.from_folder(tmp_path)
    assert (tokenizer.unk_id, tokenizer.lowercase) == (2, False)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "end"])
def test_line_ends_and_byte_order_mark_are_tolerated(tmp_path: Path, end: str, bom: str, last: str):
    path = tmp_path / "vocab.txt"
    path.write_bytes((bom + end.join(ENTRIES) + (end if last else "")).encode())
    assert load_vocabulary(path) == ENTRIES
    assert folding_of(path) == (True, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[PAD]\n[UNK]\n[CLS]\na\n", "4 entries without [SEP], [MASK]"),
        (
            "\n".join([*SPECIAL_ENTRIES, "a", "b", "a", "b"]),
            "vocab.txt:8: 2 entries stand more than once ('a' on lines",
        ),
        ("", "without [PAD], [UNK], [CLS], [SEP], [MASK]"),
    ],
)
def test_unusable_vocabulary_is_refused_with_its_faults(tmp_path: Path, content: str, message: str):
    (tmp_path / "vocab.txt").write_text(content, encoding="utf-8")
    with pytest.raises(RequestError, match=re.escape(message)):
        load_vocabulary(tmp_path)


def test_missing_undecodable_and_foreign_files_are_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"no vocab\.txt and no tokenizer\.json"):
        load_vocabulary(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE"}}))
    with pytest.raises(RequestError, match="'BPE', expected 'WordPiece'"):
        load_vocabulary(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xff")
    with pytest.raises(RequestError, match="not UTF-8"):
        load_vocabulary(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars"),
    ],
)
def test_foreign_normalisation_is_refused(tmp_path: Path, config: dict, message: str):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match=message):
        folding_of(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
def test_transformers_reads_the_folder_and_gives_the_same_ids(
    tmp_path: Path, lowercase: bool, strip_accents: bool | None
):
    transformers = pytest.importorskip("transformers")
    write_vocabulary([*ENTRIES, "Play", "é", "É"], lowercase, tmp_path, strip_accents)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = WordPieceTokenizer.from_folder(tmp_path)
    assert (ours.lowercase, ours.strip_accents) == (lowercase, lowercase if strip_accents is None else strip_accents)
    text = "我playing Play x, PLAY é É"
    assert theirs(text)["input_ids"] == [ours.cls_id, *ours.encode([text]).ids, ours.sep_id]
    assert theirs(text, "x")["token_type_ids"][-2:] == [1, 1]
    assert (theirs.mask_token_id, theirs.pad_token_id, theirs.unk_token_id) == (5, 0, 2)
    assert theirs.convert_tokens_to_ids("我") == 6
