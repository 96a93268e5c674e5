"""Parquet and Arrow files: rows become documents, damage becomes an error."""

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bert_core.errors import CorpusError

TEXTS = ["第一篇。", None, "第二篇。", "  ", "第三篇 １。"]
TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


def content(kind: str, column: pa.Array, name: str = "text") -> bytes:
    table = pa.table({"id": list(range(len(column))), name: column})
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        parquet.write_table(table, sink, row_group_size=2)
    else:
        new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize("type_of_text", TYPES, ids=str)
def test_every_row_with_text_is_a_document(build, kind, type_of_text):
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    column = pa.array(TEXTS, pa.string())
    column = column.dictionary_encode() if pa.types.is_dictionary(type_of_text) else column.cast(type_of_text)
    built = build({name: content(kind, column)})
    assert [(row["text"], row["line"]) for row in built.rows] == [("第一篇。", 1), ("第二篇。", 3), ("第三篇 1。", 5)]
    counts = built.counts[0]
    assert [counts[key] for key in ("seen", "used", "repaired", "quarantined")] == [5, 2, 2, 1]
    assert counts["dropped"] == {"min_characters": 1}
    assert [(row["line"], row["reason"]) for row in built.quarantine] == [
        (2, "text_not_a_string: 'text' is null, expected a string")
    ]


def test_a_folder_saved_by_the_datasets_library_is_read(build, tmp_path):
    rows = [f"第{number}篇文章。" for number in range(30)]
    datasets.Dataset.from_dict({"text": rows}).save_to_disk(tmp_path / "saved", num_shards=3)
    files = {path.name: path.read_bytes() for path in sorted((tmp_path / "saved").glob("*.arrow"))}
    assert len(files) == 3
    assert build(files).texts == rows


@pytest.mark.parametrize("kind", ["parquet", "file"])
def test_a_column_of_another_name_or_kind_is_told(build, kind):
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    data = content(kind, pa.array(["好"]), "content")
    with pytest.raises(CorpusError, match="no column 'text', saw 'id', 'content'; did you mean 'content'"):
        build({name: data})
    with pytest.raises(CorpusError, match="column 'id' holds int64, expected strings"):
        build({name: data}, text_column="id")


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_a_damaged_file_is_an_error_and_none_of_it_is_used(build, kind, tmp_path: Path):
    name = "a.parquet" if kind == "parquet" else "a.arrow"
    whole = content(kind, pa.array([f"第{number}篇。" for number in range(50)]))
    with pytest.raises(CorpusError, match=r"cannot be read as an? (Parquet|Arrow) file"):
        build({name: whole[: len(whole) // 2]})
    if kind == "stream":  # cut between two batches, where the reader itself sees an end
        with pytest.raises(CorpusError, match="cut off"):
            build({name: whole[:-8]})
    with pytest.raises(CorpusError, match=r"cannot be read as an? (Parquet|Arrow) file"):
        build({name: "就是文字。\n".encode() * 10})


@pytest.mark.parametrize("type_of_text", [pa.string(), pa.large_string()], ids=str)
def test_bytes_that_are_no_utf8_are_refused_by_validation(build, type_of_text):
    bad = pa.array([b"good", b"\xff\xfe\x80"], pa.binary() if type_of_text == pa.string() else pa.large_binary())
    column = pa.Array.from_buffers(type_of_text, 2, bad.buffers())
    with pytest.raises(CorpusError, match="cannot be read as an Arrow file"):
        build({"a.arrow": content("stream", column)})


def test_a_columnar_file_under_a_wrong_name_is_named(build):
    with pytest.raises(CorpusError, match=r"a\.jsonl: is a Parquet file, .*; set its format"):
        build({"a.jsonl": content("parquet", pa.array(["好"]))})
    assert build({"b.jsonl": content("parquet", pa.array(["真好"]))}, format="parquet").texts == ["真好"]
