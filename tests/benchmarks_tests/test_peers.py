"""The re-stated rules do what the originals are known to do."""

import random
import struct
from pathlib import Path

import pytest

from benchmarks.peers import google_rule, lddl_rule

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "我", "去", "学", "校", "play", "##ing", "。", ",", "cafe"]
TEXT = """\
我去学校。
我 playing 去,学校。
去学校。

学校。我去。
Café,我playing
去去去。
"""


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{entry}\n" for entry in VOCABULARY), encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["我playing去学校。", "Café, 我们", "play\u200bing\t学\u3000校", "ﬁ x—y 校", ""])
def test_google_tokenization_equals_the_tokenizers_library(text: str) -> None:
    from bert_core.tokens.vocabulary_files import library_tokenizer

    ids = {entry: index for index, entry in enumerate(VOCABULARY)}
    assert google_rule.tokenize(text, ids) == library_tokenizer(VOCABULARY, True).encode(text).tokens


def test_google_records_hold_padded_masked_pairs(tmp_path: Path, vocabulary: Path) -> None:
    sentences, output = tmp_path / "sentences.txt", tmp_path / "records"
    sentences.write_text(TEXT, encoding="utf-8")
    made = google_rule.build(str(sentences), str(vocabulary), str(output))
    data, place, examples = output.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        record = data[place + 12 : place + 12 + length]
        (checksum,) = struct.unpack_from("<I", data, place + 12 + length)
        assert checksum == google_rule._checksum(record)
        examples.append(google_rule._example_type().FromString(record).features.feature)
        place += 16 + length
    assert made["examples"] == len(examples) > 0
    assert made["bytes"] == len(data)
    assert made["tokens"] == sum(sum(feature["input_mask"].int64_list.value) for feature in examples)
    for feature in examples:
        lengths = {name: len(feature[name].int64_list.value) for name in ("input_ids", "input_mask", "segment_ids")}
        assert lengths == {"input_ids": 128, "input_mask": 128, "segment_ids": 128}
        assert len(feature["masked_lm_positions"].int64_list.value) == 20
        targets = sum(feature["masked_lm_weights"].float_list.value)
        assert targets == max(1, round(sum(feature["input_mask"].int64_list.value) * 0.15))
        assert feature["next_sentence_labels"].int64_list.value[0] in (0, 1)


def test_lddl_labels_a_b_of_its_own_document_as_if_it_followed() -> None:
    document = [[f"t{sentence}"] * 60 for sentence in range(9)]
    pairs = lddl_rule.pairs_of_document([document], 0, random.Random(1))
    assert pairs
    assert not any(is_random for _, _, is_random in pairs)


def test_lddl_pairs_fit_and_random_ones_come_from_another_document() -> None:
    documents = [[[f"d{number}"] * 50 for _ in range(12)] for number in range(3)]
    pairs = lddl_rule.pairs_of_document(documents, 0, random.Random(1))
    assert all(len(a) >= 1 and len(b) >= 1 and len(a) + len(b) <= 125 for a, b, _ in pairs)
    assert {is_random for _, _, is_random in pairs} == {False, True}
    assert all(("d0" in b) is not is_random for _, b, is_random in pairs)


def test_lddl_writes_pairs_as_strings(tmp_path: Path, vocabulary: Path) -> None:
    import pyarrow.parquet as pq

    documents = tmp_path / "documents.jsonl"
    documents.write_text('{"text": "我去学校。学校。"}\n' * 20, encoding="utf-8")
    made = lddl_rule.build(str(documents), str(vocabulary), str(tmp_path / "parts"))
    table = pq.read_table(tmp_path / "parts")
    assert table.column_names == ["A", "B", "is_random_next", "num_tokens"]
    assert made["examples"] == table.num_rows > 0
    assert made["tokens"] == sum(table.column("num_tokens").to_pylist())
    assert all(set(a.split()) <= set(VOCABULARY) for a in table.column("A").to_pylist())
