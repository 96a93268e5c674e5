"""Every format gives its documents with the line and byte where they begin, and names what it cannot read."""

import gzip
from pathlib import Path

import pytest

from bert_core.config import CorpusConfig
from bert_core.corpus import running_text
from bert_core.corpus.paths import RawFile
from bert_core.corpus.readers import format_of, read_records
from bert_core.errors import CorpusError


def read(tmp_path: Path, name: str, content: str | bytes, **settings) -> list[tuple]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    config = CorpusConfig(paths=[name], **settings)
    return [
        (record.line, record.byte_offset, record.text if record.fault is None else record.fault.partition(":")[0])
        for record in read_records(RawFile(name, path), config)
    ]


@pytest.mark.parametrize(
    ("name", "content", "settings", "records"),
    [
        ("a.txt", "甲\n乙\n\n　\n丙\r\n", {}, [(1, 0, "甲\n乙"), (5, 13, "丙")]),
        ("a.txt", "甲\n\n乙\n", {"format": "txt_line"}, [(1, 0, "甲"), (3, 5, "乙")]),
        ("a.txt", "甲\n\n乙\n", {"format": "txt_file"}, [(1, 0, "甲\n\n乙")]),
        ("a.md", "# 题\n\n文\n", {}, [(1, 0, "题\n文")]),
        ("a.jsonl", '{"text": "甲"}\n\n{"text": "乙\\n丙"}', {}, [(1, 0, "甲"), (3, 17, "乙\n丙")]),
        ("a.ndjson", '{"body": "甲"}', {"text_column": "body"}, [(1, 0, "甲")]),
        ("a.csv", 'id,text\n1,"甲\n乙"\n2,丙\n', {}, [(2, 8, "甲\n乙"), (4, 20, "丙")]),
        ("a.tsv", "text\tlabel\n甲\t1\n", {}, [(2, 11, "甲")]),
        (
            "a.txt",
            "标题/n\n正文/n  。/w\n标题/n  二/m\n正文/n  。/w\n",
            {"format": "tagged_words"},
            [(1, 0, "标题\n正文。"), (3, 25, "标题二\n正文。")],
        ),
        ("a.txt.gz", gzip.compress("甲\n\n乙".encode()), {}, [(1, 0, "甲"), (3, 5, "乙")]),
        ("a.txt", "", {}, []),
        ("a.txt", "\n \n\t\n", {}, []),
    ],
)
def test_a_format_gives_its_documents_with_their_places(tmp_path: Path, name: str, content, settings, records):
    assert read(tmp_path, name, content, **settings) == records


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"text": null}', "text_not_a_string"),
        ('{"text": 5}', "text_not_a_string"),
        ('{"text": ["甲"]}', "text_not_a_string"),
        ('{"body": "甲"}', "no_text_column"),
        ('{"text": NaN}', "invalid_json"),
        ('"甲"', "not_an_object"),
    ],
)
def test_a_bad_object_loses_its_own_line_only(tmp_path: Path, line: str, code: str):
    content = f'{{"text": "甲"}}\n{line}\n{{"text": "乙"}}\n'
    assert [text for _, _, text in read(tmp_path, "a.jsonl", content)] == ["甲", code, "乙"]


def test_an_undecodable_line_leaves_its_document(tmp_path: Path):
    content = "甲的文字\n".encode() + b"\xff\xfe\xfa\n" + "乙的文字\n\n丙的文字".encode()
    assert read(tmp_path, "a.txt", content) == [
        (2, 13, "undecodable"),
        (1, 0, "甲的文字\n乙的文字"),
        (5, 31, "丙的文字"),
    ]


def test_a_table_without_the_column_names_what_it_has(tmp_path: Path):
    with pytest.raises(CorpusError, match=r"a\.csv:1: no column 'text', saw 'id', 'texts'; did you mean 'texts'\?"):
        read(tmp_path, "a.csv", "id,texts\n1,甲\n")
    with pytest.raises(CorpusError, match="did you mean 'content'"):
        read(tmp_path, "a.csv", "id,content\n1,甲\n")


def test_a_wrong_delimiter_is_told(tmp_path: Path):
    with pytest.raises(CorpusError, match="separated by tabs; set format tsv"):
        read(tmp_path, "a.csv", "id\ttext\n1\t甲\n")
    with pytest.raises(CorpusError, match="separated by semicolons"):
        read(tmp_path, "a.csv", "id;text\n1;甲\n")


def test_the_extension_gives_the_format():
    names = ["a.txt", "b/A.TXT.gz", "a.md.zst", "a.jsonl", "a.csv.gz", "a.tsv"]
    formats = [format_of(RawFile(name, Path(name)), "auto") for name in names]
    assert formats == ["txt_blank_line", "txt_blank_line", "markdown", "jsonl", "csv", "tsv"]
    assert format_of(RawFile("a.anything", Path("a")), "txt_line") == "txt_line"
    with pytest.raises(CorpusError, match="set the corpus's format"):
        format_of(RawFile("a", Path("a")), "auto")


def test_articles_do_not_depend_on_how_many_paragraphs_are_read_at_once(tmp_path: Path, monkeypatch):
    article = "标题/n  {}/m\n本报/r  讯/n  有/v  雪/n  。/w\n正文/n  。/w\n"
    content = "".join(article.format(number) for number in range(30))
    whole = read(tmp_path, "a.txt", content, format="tagged_words")
    assert len(whole) == 30
    for at_once in (1, 2, 3, 7):
        monkeypatch.setattr(running_text, "_PARAGRAPHS_AT_ONCE", at_once)
        assert read(tmp_path, "a.txt", content, format="tagged_words") == whole
