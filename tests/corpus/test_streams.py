"""Compressed files are read whole or not at all."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from bert_core.corpus import streams
from bert_core.corpus.decode import read_lines
from bert_core.corpus.streams import read_blocks, read_head
from bert_core.errors import CorpusError

TEXT = "今天的天气很好。\n我们去公园。\n" * 500
CODECS = {"gzip": lambda raw: gzip.compress(raw, mtime=0), "zstd": lambda raw: pa.compress(raw, "zstd", asbytes=True)}


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.txt"])
def test_compression_is_told_by_the_first_bytes_not_the_name(tmp_path: Path, kind: str, name: str):
    path = tmp_path / name
    path.write_bytes(CODECS[kind](TEXT.encode("gb18030")))
    assert [line.text for line in read_lines(path)] == TEXT.split("\n")[:-1]


@pytest.mark.parametrize("kind", CODECS)
def test_several_members_are_read_whole(tmp_path: Path, kind: str):
    path = tmp_path / "a"
    path.write_bytes(CODECS[kind](b"one\n") + CODECS[kind](b"two\n"))
    assert b"".join(read_blocks(path)) == b"one\ntwo\n"


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, -1])
def test_a_cut_file_is_an_error_at_every_length(tmp_path: Path, kind: str, share: float):
    path = tmp_path / "a.zst"
    raw = CODECS[kind](bytes(range(256)) * 5000)
    path.write_bytes(raw[:-1] if share == -1 else raw[: int(len(raw) * share)])
    with pytest.raises(CorpusError, match=r"a\.zst: .*cut off or damaged"):
        list(read_blocks(path))


@pytest.mark.parametrize("kind", CODECS)
def test_a_bomb_is_refused(tmp_path: Path, monkeypatch, kind: str):
    monkeypatch.setattr(streams, "MAX_RATIO_FREE_BYTES", 4 << 20)
    path = tmp_path / "a"
    path.write_bytes(CODECS[kind](bytes(32 << 20)))
    with pytest.raises(CorpusError, match="decompression bomb"):
        list(read_blocks(path))


def test_a_small_file_may_grow_much(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(pa.compress(bytes(8 << 20), "zstd", asbytes=True))
    assert sum(map(len, read_blocks(path))) == 8 << 20


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PAR1....", "a Parquet file"),
        (b"PK\x03\x04..", "a zip archive"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_binary_formats_are_named(tmp_path: Path, content: bytes, what: str):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=rf"a\.jsonl: is .*{what}|a\.jsonl: is {what}"):
        read_head(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(CorpusError, match="cannot be read"):
        read_head(tmp_path / "missing.txt")


def test_a_range_of_a_compressed_file_is_refused(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"text"))
    with pytest.raises(CorpusError, match="byte range"):
        list(read_blocks(path, 2, 5))
