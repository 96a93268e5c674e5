"""A file is cut at document boundaries, and what is appended changes the last slice alone."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import CorpusConfig
from bert_core.corpus import slices
from bert_core.corpus.readers import read_records
from bert_core.corpus.slices import plan_slices
from bert_core.errors import CorpusError

ARTICLE = "新/a  年/n  音乐会/n\n本报/r  讯/Ng  昨晚/t  举行/v  。/w\n演出/v  成功/a  。/w\n"
FORMATS = {
    "txt_blank_line": [f"第{number}篇的开头。\n还有一行。\n\n" for number in range(60)],
    "txt_line": [f"第{number}篇的文字。\n" for number in range(90)],
    "jsonl": [f'{{"text": "第{number}篇"}}\n' for number in range(90)],
    "tagged_words": [f"[{number}/m  第/n]nz  " + ARTICLE for number in range(60)],
}


def plan(path: Path, kind: str = "auto", **settings) -> list[slices.Slice]:
    return plan_slices(CorpusConfig(paths=[path.name], format=kind, **settings), path.parent)  # type: ignore[arg-type]


def texts_of(path: Path, kind: str, pieces: list[slices.Slice]) -> list[str | None]:
    config = CorpusConfig(paths=[path.name], format=kind)  # type: ignore[arg-type]
    return [
        record.text
        for piece in pieces
        for record in read_records(piece.file, config, piece.start, piece.num_bytes, piece.first_line)
    ]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("slice_bytes", [97, 300, 1000, 1 << 20])
def test_slices_hold_every_document_once_and_in_order(tmp_path: Path, monkeypatch, kind: str, slice_bytes: int):
    path = tmp_path / "a.txt"
    path.write_text("".join(FORMATS[kind]), encoding="utf-8")
    whole = texts_of(path, kind, plan(path, kind))
    monkeypatch.setattr(slices, "SLICE_BYTES", slice_bytes)
    pieces = plan(path, kind)
    assert texts_of(path, kind, pieces) == whole
    assert len(whole) == len(FORMATS[kind])
    raw = path.read_bytes()
    assert [piece.start for piece in pieces[1:]] == [piece.start + (piece.num_bytes or 0) for piece in pieces[:-1]]
    for piece in pieces:
        assert piece.num_bytes is not None
        content = raw[piece.start : piece.start + piece.num_bytes]
        assert piece.digest == hashlib.sha256(content).hexdigest()
        assert piece.start == 0 or piece.index * slice_bytes <= piece.start < (piece.index + 1) * slice_bytes
        assert piece.first_line == 1 + raw[: piece.start].count(b"\n")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("num_first", [1, 2, 7, 30, 31, 32, 33])
def test_an_appended_document_changes_the_last_slice_alone(tmp_path: Path, monkeypatch, kind: str, num_first: int):
    monkeypatch.setattr(slices, "SLICE_BYTES", 200)
    path = tmp_path / "a.txt"
    documents = FORMATS[kind]
    path.write_text("".join(documents[:num_first]), encoding="utf-8")
    before = plan(path, kind)
    path.write_text("".join(documents[: num_first + 1]), encoding="utf-8")
    after = plan(path, kind)
    assert after[: len(before) - 1] == before[:-1]
    assert len(after) - len(before) in (0, 1)


def test_line_numbers_and_offsets_are_those_of_the_file(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_text("".join(FORMATS["txt_line"]), encoding="utf-8")
    config = CorpusConfig(paths=["a.txt"], format="txt_line")
    found = [
        (record.line, record.byte_offset)
        for piece in plan(path, "txt_line")
        for record in read_records(piece.file, config, piece.start, piece.num_bytes, piece.first_line)
    ]
    raw = path.read_bytes()
    assert [line for line, _ in found] == list(range(1, 91))
    assert all(raw[offset:].startswith("第".encode()) for _, offset in found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label\n" + b"x,1\n" * 500),
        ("a.md", "# 标题\n\n段落\n\n".encode() * 100),
        ("a.txt", "甲乙丙丁。\n\n".encode("utf-16") * 1 + "甲乙丙丁。\n\n".encode("utf-16-le") * 200),
    ],
)
def test_files_that_cannot_be_cut_are_one_slice(tmp_path: Path, monkeypatch, name: str, content: bytes):
    monkeypatch.setattr(slices, "SLICE_BYTES", 100)
    (tmp_path / name).write_bytes(content)
    (piece,) = plan(tmp_path / name)
    assert (piece.start, piece.num_bytes) == (0, None)
    assert piece.digest == hashlib.sha256(content).hexdigest()


def test_a_line_longer_than_a_slice_leaves_slices_out(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 350 + b"\nb\nc\n")
    assert [(piece.index, piece.start, piece.num_bytes) for piece in plan(path, "txt_line")] == [
        (0, 0, 351),
        (3, 351, 4),
    ]


def test_an_empty_file_is_one_slice_of_no_bytes(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"")
    (piece,) = plan(tmp_path / "a.txt")
    assert (piece.start, piece.num_bytes, piece.digest) == (0, None, hashlib.sha256(b"").hexdigest())


def test_an_unknown_extension_is_an_error_that_lists_the_known(tmp_path: Path):
    (tmp_path / "a.doc").write_bytes(b"text")
    with pytest.raises(CorpusError, match=r"a\.doc: format auto does not know .*'\.doc'.*\.jsonl"):
        plan(tmp_path / "a.doc")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["一\n", "二三四五六七\n", "\n", " \n", "\r\n", "x" * 40 + "\n"]), max_size=40),
    st.integers(5, 60),
)
def test_blank_line_documents_survive_any_cut(tmp_path_factory, lines: list[str], slice_bytes: int):
    path = tmp_path_factory.mktemp("slices") / "a.txt"
    path.write_bytes("".join(lines).encode())
    whole = texts_of(path, "txt_blank_line", plan(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE_BYTES", slice_bytes)
        assert texts_of(path, "txt_blank_line", plan(path)) == whole
