"""The text that is measured, and the forms that the peers read."""

import json
from pathlib import Path

import pyarrow as pa

from benchmarks import text
from bert_core.store.schemas import DOCUMENTS
from bert_core.store.shards import write_shards


def test_copies_of_a_text_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "zh-9.jsonl"
    path.write_text('{"text": "走吧。\\u2028好"}\n{"text": "山路\u2028越走越窄。"}\n', encoding="utf-8")
    copies = text.repeated(path, 2).read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["text"] for line in copies if line] == [
        "第0份。\n走吧。\u2028好",
        "第0份。\n山路\u2028越走越窄。",
        "第1份。\n走吧。\u2028好",
        "第1份。\n山路\u2028越走越窄。",
    ]


def test_a_part_holds_the_first_documents_in_both_forms(tmp_path: Path) -> None:
    texts = ["雾升上来。听了听水声。", "火车晚点。\n站台很静。", "这一篇不在内。"]
    columns = {field.name: pa.nulls(3, field.type) for field in DOCUMENTS}
    table = pa.table(columns | {"text": pa.array(texts)}, schema=DOCUMENTS)
    write_shards(tmp_path, "documents", DOCUMENTS, [table])
    part = text.write_part(tmp_path, tmp_path, len(texts[0].encode()) + 1)
    assert part.num_bytes == len("".join(texts[:2]).encode())
    assert part.sentences.read_text(encoding="utf-8") == "雾升上来。\n听了听水声。\n\n火车晚点。\n站台很静。\n\n"
    assert [json.loads(line)["text"] for line in part.documents.read_text(encoding="utf-8").splitlines()] == texts[:2]
