"""From raw bytes to document shards: every bad input has one counted outcome, and nothing depends on the cutting."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert_core.config import CorpusConfig
from bert_core.corpus import slices
from bert_core.corpus.clean import document_id
from bert_core.corpus.documents import build_documents, build_record_documents, build_slice
from bert_core.corpus.slice_reading import cut_at_sentences
from bert_core.corpus.slices import plan_slices
from bert_core.errors import CorpusError
from bert_core.store.manifest import list_files
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards, write_shards

GOOD = '{"text": "好的文字"}\n'.encode()


def test_a_slice_keeps_its_documents_with_provenance(build):
    built = build({"a.txt": "第一篇。\n还有一段。\n\n１９９８年\n".encode("gb18030")})
    assert built.rows == [
        {
            "doc_id": document_id("第一篇。还有一段。"),
            "text": "第一篇。\n还有一段。",
            "file": "a.txt",
            "line": 1,
            "byte_offset": 0,
            "encoding": "gb18030",
            "repairs": [],
        },
        {
            "doc_id": document_id("1998年"),
            "text": "1998年",
            "file": "a.txt",
            "line": 4,
            "byte_offset": 21,
            "encoding": "gb18030",
            "repairs": ["half_width"],
        },
    ]
    assert built.counts == [
        {
            "seen": 2,
            "used": 1,
            "repaired": 1,
            "quarantined": 0,
            "reasons": {},
            "repairs": {"half_width": 1},
            "encodings": {"gb18030": 2},
            "dropped": {},
            "cut": 0,
            "documents": 2,
            "characters": 15,
            "files": {"a.txt": {"seen": 2, "used": 1, "repaired": 1, "quarantined": 0}},
        }
    ]


def test_the_quarantine_says_where_and_shows_escaped_text(build):
    built = build({"a.jsonl": GOOD + '{"text": "坏\x1b[31m\u202e'.encode() + b"\n" + b'{"text": "\xff\n'})
    assert built.quarantine == [
        {
            "file": "a.jsonl",
            "line": 2,
            "byte_offset": 25,
            "reason": "invalid_json: Invalid control character at at column 12",
            "excerpt": '{"text": "坏\\u001b[31m\\u202e',
        },
        {
            "file": "a.jsonl",
            "line": 3,
            "byte_offset": 47,
            "reason": "undecodable: not valid utf-8 nor any other encoding",
            "excerpt": '{"text": "\\xff',
        },
    ]


@pytest.mark.parametrize(
    "cut", [gzip.compress(GOOD * 99, mtime=0)[:-9], pa.compress(GOOD * 99, "zstd", asbytes=True)[:-1]]
)
def test_a_cut_compressed_file_stops_the_run(build, cut: bytes):
    with pytest.raises(CorpusError, match=r"a\.jsonl\.gz: .*cut off or damaged"):
        build({"a.jsonl.gz": cut})


def test_too_many_bad_records_stop_the_run_and_are_named(build):
    content = GOOD * 97 + b"{}\n" * 2 + b"x\n"
    assert len(build({"a.jsonl": content}, max_bad_fraction=0.03).texts) == 97
    with pytest.raises(CorpusError, match=r"a\.jsonl: 3 of 100 records \(3\.0%\).*0\.02.*a\.jsonl:98 no_text_column"):
        build({"a.jsonl": content}, max_bad_fraction=0.02)


def test_a_missing_text_column_is_told_apart_from_bad_records(build):
    with pytest.raises(CorpusError, match=r"a\.jsonl:1: no column 'text', saw 'id', 'content'; did you mean 'content'"):
        build({"a.jsonl": b'{"id": 1, "content": "a"}\n' * 5})


def test_filters_drop_and_count(build):
    text = "好\n\nonly english words\n\n中文为主 abc\n\n" + "长句子。" * 60
    built = build({"a.txt": text.encode()}, min_han_share=0.5, max_characters=100)
    assert built.counts[0]["dropped"] == {"min_characters": 1, "min_han_share": 1}
    assert built.counts[0]["cut"] == 1
    assert built.texts == ["中文为主 abc", "长句子。" * 25, "长句子。" * 25, "长句子。" * 10]


def test_long_texts_are_cut_at_sentence_ends():
    assert cut_at_sentences("甲乙。丙丁。戊己。", 6) == ["甲乙。丙丁。", "戊己。"]
    assert cut_at_sentences("没有句号的长文", 3) == ["没有句", "号的长", "文"]
    assert cut_at_sentences("短。\n" * 3, 4) == ["短。", "短。", "短。"]


def test_a_file_that_changes_under_the_reader_is_an_error(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("一些文字")
    config = CorpusConfig(paths=["a.txt"])
    (piece,) = plan_slices(config, tmp_path)
    path.write_text("别的文字")
    (tmp_path / "out").mkdir()
    with pytest.raises(CorpusError, match=r"a\.txt: changed while it was read"):
        build_slice(piece, config, tmp_path / "out")


def held_out(folder: Path, **splits: list[str]) -> Path:
    """Write a split of single sentences."""
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        texts = splits.get(split, [])
        rows = [
            {"record_id": document_id(text), "text": text, "label": "x", "file": "t.txt", "line": 1} for text in texts
        ]
        write_shards(folder, split, RECORDS, [pa.Table.from_pylist(rows, schema=RECORDS)])
    return folder


def merge(tmp_path: Path, folders: list[Path], held: list[Path] = [], **settings) -> tuple[dict, list[str]]:  # noqa: B006
    out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    counts = build_documents(folders, CorpusConfig(paths=["a"], **settings), held, out)
    return counts, read_shards(out, "documents")["text"].to_pylist()


def test_slices_merge_without_duplicates_and_without_held_out_texts(build, tmp_path: Path):
    sentence = "这部电影真的非常好看我很喜欢"
    files = {
        "a.txt": f"重复的文字。\n\n独一的文字。\n\n{sentence}！\n\n坏".encode(),
        "b.txt": f"重复，的文字\n\n听说{sentence}呢\n\n另一段\n{sentence[1:-1]}\n\n{sentence[1:-1]}".encode(),
    }
    built = build(files)
    held = [
        held_out(tmp_path / "one", dev=[sentence]),
        held_out(tmp_path / "two", test=["无关"], train=["独一的文字。"]),
    ]
    counts, texts = merge(tmp_path, built.folders, held)
    assert texts == ["重复的文字。", "独一的文字。", f"另一段\n{sentence[1:-1]}"]
    assert counts == {
        "seen": 8,
        "used": 8,
        "repaired": 0,
        "quarantined": 0,
        "reasons": {},
        "repairs": {},
        "encodings": {"utf-8": 8},
        "dropped": {"min_characters": 1},
        "cut": 0,
        "duplicates": 1,
        "duplicate_clusters": 1,
        "near_duplicates": 0,
        "near_duplicate_clusters": 0,
        "largest_clusters": [{"file": "a.txt", "line": 1, "documents": 2, "begins": "重复的文字。"}],
        "contaminated": {"equal": 1, "contains": 1, "inside": 1, "near": 0},
        "documents": 3,
        "characters": 28,
        "by_file": {"a.txt": 2, "b.txt": 1},
        "files": {
            "a.txt": {"seen": 4, "used": 4, "repaired": 0, "quarantined": 0},
            "b.txt": {"seen": 4, "used": 4, "repaired": 0, "quarantined": 0},
        },
    }
    assert merge(tmp_path, built.folders, deduplicate="none")[0]["documents"] == 7


def test_near_duplicates_are_left_out_where_asked_for(build, tmp_path: Path):
    long = "".join(f"第{number}条规定了第{number * 7}件事情。" for number in range(40))
    built = build({"a.txt": f"{long}\n\n另一篇文字。".encode(), "b.txt": f"{long}又加了一句。".encode()})
    counts, texts = merge(tmp_path, built.folders, deduplicate="near")
    assert texts == [long, "另一篇文字。"]
    assert counts["largest_clusters"] == [{"file": "a.txt", "line": 1, "documents": 2, "begins": long[:40]}]
    found = [counts[name] for name in ("duplicates", "near_duplicates", "near_duplicate_clusters", "documents")]
    assert found == [0, 1, 1, 2]
    assert merge(tmp_path, built.folders)[0]["documents"] == 3
    assert merge(tmp_path, built.folders, deduplicate="near", near_similarity=1.0)[0]["documents"] == 3


def test_an_empty_corpus_is_an_error_with_the_waterfall(build, tmp_path: Path):
    built = build({"a.jsonl": b'x\n{"text": "a"}\n{"text": ""}\n', "b.txt": b""})
    with pytest.raises(CorpusError, match=r"3 records seen, 1 quarantined, 2 dropped by min_characters, 0 duplicates"):
        merge(tmp_path, built.folders)


def test_training_records_become_documents_without_labels(tmp_path: Path):
    one = held_out(tmp_path / "one", train=["甲的文字", "乙的文字", "甲的，文字"], test=["不要"])
    two = held_out(tmp_path / "two", train=["乙的文字", "丙的文字"])
    out = tmp_path / "out"
    out.mkdir()
    counts = build_record_documents([one, two], out)
    table = read_shards(out, "documents")
    assert table["text"].to_pylist() == ["甲的文字", "乙的文字", "丙的文字"]
    assert table["file"].to_pylist() == ["t.txt"] * 3
    assert (counts["seen"], counts["documents"], counts["duplicates"], counts["characters"]) == (5, 3, 2, 12)
    assert counts["by_file"] == {"t.txt": 3}


def test_no_training_record_is_an_error(tmp_path: Path):
    (tmp_path / "out").mkdir()
    with pytest.raises(CorpusError, match="no training record"):
        build_record_documents([held_out(tmp_path / "one", dev=["甲"])], tmp_path / "out")


def test_the_corpus_does_not_depend_on_how_it_is_cut(build, tmp_path: Path, monkeypatch):
    content = "".join(f"第{number % 70}篇的文字。\n第二段\n\n" for number in range(100)).encode()
    _, whole = merge(tmp_path, build({"a.txt": content}).folders)
    monkeypatch.setattr(slices, "SLICE_BYTES", 333)
    cut = build({"a.txt": content})
    assert len(cut.folders) > 5
    assert merge(tmp_path, cut.folders)[1] == whole
    assert len(whole) == 70


def test_building_twice_gives_the_same_bytes(build):
    content = "".join(f"第{number}篇。\n\n" for number in range(50)).encode() + b"\xff\n"
    first, again = build({"a.txt": content}), build({"a.txt": content})
    assert list_files(first.folders[0]) == list_files(again.folders[0])


def test_progress_ends_at_the_whole(tmp_path: Path):
    (tmp_path / "a.txt").write_text("一些文字")
    config = CorpusConfig(paths=["a.txt"])
    (piece,) = plan_slices(config, tmp_path)
    (tmp_path / "out").mkdir()
    told: list[tuple[int, int, str]] = []
    build_slice(piece, config, tmp_path / "out", lambda done, total, unit, **_: told.append((done, total, unit)))
    assert told[-1] == (12, 12, "bytes")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.md"]))
def test_any_bytes_give_outcomes_that_add_up_or_a_named_error(build, content: bytes, name: str):
    try:
        built = build({name: content})
    except CorpusError:  # the text column is missing, or it begins like a binary file
        return
    for counts in built.counts:
        assert counts["seen"] == counts["used"] + counts["repaired"] + counts["quarantined"]
        json.dumps(counts)


def test_both_texts_of_a_pair_are_a_document_and_neither_of_a_scored_one_is_left(build, tmp_path: Path):
    def pairs(folder: Path, **splits: list[tuple[str, str]]) -> Path:
        folder.mkdir()
        for split in ("train", "dev", "test"):
            rows = [
                {
                    "record_id": number,
                    "text": text,
                    "text_pair": second,
                    "label": "1",
                    "file": "p.tsv",
                    "line": number + 1,
                }
                for number, (text, second) in enumerate(splits.get(split, []))
            ]
            write_shards(folder, split, RECORDS, [pa.Table.from_pylist(rows, schema=RECORDS)])
        return folder

    scored = ("这是要留作测试的第一句话。", "这是要留作测试的第二句话。")
    split = pairs(tmp_path / "pairs", train=[("几点开门？", "什么时候开门？")], test=[scored])
    built = build({"a.txt": f"独一的文字。\n\n听说{scored[1]}\n\n{scored[0]}".encode()})
    assert merge(tmp_path, built.folders, [split])[1] == ["独一的文字。"]
    out = tmp_path / "records"
    out.mkdir()
    build_record_documents([split], out)
    assert read_shards(out, "documents")["text"].to_pylist() == ["几点开门？\n什么时候开门？"]


def _questions(folder: Path, **splits: list[tuple[str, str]]) -> Path:
    """Write questions about contexts as the records of a split."""
    folder.mkdir()
    for split in ("train", "dev", "test"):
        rows = [
            {
                "record_id": number,
                "text": text,
                "text_pair": context,
                "answer_starts": [0],
                "answer_texts": [context[:2]],
            }
            | {"file": "q.json", "line": number + 1}
            for number, (text, context) in enumerate(splits.get(split, []))
        ]
        write_shards(folder, split, RECORDS, [pa.Table.from_pylist(rows, schema=RECORDS)])
    return folder


def test_a_context_is_one_document_with_its_questions_and_none_of_a_scored_one_is_left(build, tmp_path: Path):
    asked = "哪一年修好了江边的那座大桥的呢？"
    split = _questions(
        tmp_path / "split",
        train=[("桥在哪里？", "大桥在江边。"), ("谁修的？", "路是村里人修的。"), ("桥大吗？", "大桥在江边。")],
        test=[(asked, "那一年的春天修好了江边的第二座大桥。")],
    )
    out = tmp_path / "records"
    out.mkdir()
    assert build_record_documents([split], out)["documents"] == 2
    table = read_shards(out, "documents")
    assert table["text"].to_pylist() == ["大桥在江边。\n桥在哪里？\n桥大吗？", "路是村里人修的。\n谁修的？"]
    assert table["line"].to_pylist() == [1, 2]

    raw = f"有人问：{asked}\n\n那一年的春天，修好了江边的第二座大桥\n\n江边的第一座大桥还没有修好。\n"
    counts, texts = merge(tmp_path, build({"a.txt": raw.encode()}).folders, [split])
    assert texts == ["江边的第一座大桥还没有修好。"]
    assert counts["contaminated"] == {"equal": 1, "contains": 1, "inside": 0, "near": 0}
