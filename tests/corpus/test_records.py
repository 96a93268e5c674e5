"""Records: every format, every fault with its whole message."""

import json
from pathlib import Path

import pytest

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.records import read_records
from bert_core.errors import TaskDataError


def write(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def json_lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def classes(*sources, labels=("neg", "pos")):
    return TaskConfig(family="single_sentence", sources=list(sources), labels=list(labels))


def entities(*sources, labels=("nr", "ns")):
    return TaskConfig(family="sequence_labelling", sources=list(sources), labels=list(labels))


def fault_of(task, folder):
    with pytest.raises(TaskDataError) as caught:
        read_records(task, folder)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_lines_of_one_label_become_records(tmp_path):
    write(tmp_path, "good.txt", "  很１好 \n\n真不错\n")
    write(tmp_path, "bad.txt", "差\n")
    task = classes(TaskSource(path="good.txt", label="pos"), TaskSource(path="bad.txt", label="neg", split="test"))
    records = read_records(task, tmp_path).records
    assert [(r.text, r.label, r.file, r.line, r.split) for r in records] == [
        ("很1好", "pos", "good.txt", 1, "auto"),
        ("真不错", "pos", "good.txt", 3, "auto"),
        ("差", "neg", "bad.txt", 1, "test"),
    ]
    assert all(record.spans == () for record in records)
    assert len({record.group for record in records}) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text,label\n1,"好,\n很好",pos\n2,差,neg\n'),
        ("a.tsv", "label\ttext\npos\t好, 很好\nneg\t差\n"),
        ("a.jsonl", json_lines({"text": "好, 很好", "label": "pos"}, {"text": "差", "label": "neg", "x": 1})),
    ],
)
def test_columns_become_records(tmp_path, name, content):
    write(tmp_path, name, content)
    records = read_records(classes(TaskSource(path=name)), tmp_path).records
    assert [(r.text.replace("\n", " "), r.label) for r in records] == [("好, 很好", "pos"), ("差", "neg")]


def test_a_row_of_several_lines_is_named_by_its_first(tmp_path):
    write(tmp_path, "a.csv", 'text,label\n"一\n二\n三",pos\n四,neg\n')
    assert [r.line for r in read_records(classes(TaskSource(path="a.csv")), tmp_path).records] == [2, 5]


def test_whole_numbers_in_json_are_labels(tmp_path):
    write(tmp_path, "a.jsonl", json_lines({"text": "好", "label": 1}, {"text": "差", "label": 0}))
    task = classes(TaskSource(path="a.jsonl"), labels=("0", "1"))
    assert [r.label for r in read_records(task, tmp_path).records] == ["1", "0"]


def test_columns_may_have_other_names(tmp_path):
    write(tmp_path, "a.jsonl", json_lines({"review": "好", "stars": "pos"}))
    task = classes(TaskSource(path="a.jsonl", text_column="review", label_column="stars"))
    assert [(r.text, r.label) for r in read_records(task, tmp_path).records] == [("好", "pos")]


def test_a_label_of_the_whole_file_needs_no_label_column(tmp_path):
    write(tmp_path, "a.csv", "text\n好\n")
    write(tmp_path, "a.jsonl", json_lines({"text": "好"}))
    task = classes(TaskSource(path="a.csv", label="pos"), TaskSource(path="a.jsonl", label="pos"))
    assert [r.label for r in read_records(task, tmp_path).records] == ["pos", "pos"]


def test_tagged_words_become_text_and_entities_by_article(tmp_path):
    write(
        tmp_path,
        "a.txt",
        "江南/ns  下/v  雪/n\n"
        "王/nr  小明/nr  １２月/t  在/p  江南/ns  说/v  。/w\n"
        "\n"
        "新/a  剧/n\n"
        "演员/n  李/nr  明/nr  到/v  。/w\n",
    )
    found = read_records(entities(TaskSource(path="a.txt", format="tagged_words")), tmp_path)
    assert [(r.text, r.spans, r.line) for r in found.records] == [
        ("江南下雪", ((0, 2, "ns"),), 1),
        ("王小明12月在江南说。", ((0, 3, "nr"), (7, 9, "ns")), 2),
        ("新剧", (), 4),
        ("演员李明到。", ((2, 4, "nr"),), 5),
    ]
    groups = [record.group for record in found.records]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_entities_in_json_follow_cleaning_and_overlaps_are_counted(tmp_path):
    entity = {"start": 4, "end": 7, "label": "nr"}
    inner = {"start": 4, "end": 5, "label": "ns"}
    write(tmp_path, "a.jsonl", json_lines({"text": "  １ 王小明来", "entities": [inner, entity]}))
    found = read_records(entities(TaskSource(path="a.jsonl")), tmp_path)
    assert [(r.text, r.spans) for r in found.records] == [("1 王小明来", ((2, 5, "nr"),))]
    assert found.num_overlapping_spans == 1


def test_labels_outside_the_set_are_listed_with_their_places(tmp_path):
    write(tmp_path, "a.csv", "text,label\n好,pos\n差,Neg\n" + "无,x\n" * 12)
    lines = fault_of(classes(TaskSource(path="a.csv")), tmp_path).split("\n")
    assert lines[0] == "a.csv:3: label 'Neg' is not among labels ['neg', 'pos']; did you mean 'neg'?"
    expected = "label 'x' is not among labels ['neg', 'pos']; add it to `labels` or correct the data"
    assert lines[1:10] == [f"a.csv:{line}: {expected}" for line in range(4, 13)]
    assert lines[10:] == ["... and 3 more"]


def test_an_entity_type_outside_the_set_is_an_error(tmp_path):
    write(tmp_path, "a.jsonl", json_lines({"text": "王明", "entities": [{"start": 0, "end": 2, "label": "PER"}]}))
    message = fault_of(entities(TaskSource(path="a.jsonl")), tmp_path)
    assert message.startswith("a.jsonl:1: label 'PER' is not among labels ['nr', 'ns'];")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "texts,label\n好,pos\n", "a.csv:1: no column 'text', got ['texts', 'label']; did you mean 'texts'?"),
        ("a.tsv", "text\tclass\n好\tpos\n", "a.tsv:1: no column 'label', got ['text', 'class']"),
        (
            "a.jsonl",
            json_lines({"text": "好", "label": "pos"}, {"text": "好", "lable": "pos"}),
            "a.jsonl:2: no column 'label', got ['text', 'lable']; did you mean 'lable'?",
        ),
    ],
)
def test_a_missing_column_names_those_that_are_there(tmp_path, name, content, message):
    write(tmp_path, name, content)
    assert fault_of(classes(TaskSource(path=name)), tmp_path) == message


GOOD_ENTITIES = [{"text": f"第{i}天王明来", "entities": []} for i in range(100)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{not json", "broken JSON"),
        ("[1, 2]", "JSON that is no object"),
        ('{"text": 3, "entities": []}', "text that is no string"),
        ('{"text": "\\u200b", "entities": []}', "empty text"),
        ('{"text": "王明", "entities": [{"start": 1, "end": 3, "label": "nr"}]}', "span outside the text"),
        ('{"text": "王明", "entities": [{"start": -1, "end": 1, "label": "nr"}]}', "span outside the text"),
        ('{"text": "王明", "entities": [{"start": 1, "end": 1, "label": "nr"}]}', "span outside the text"),
        ('{"text": "王 明", "entities": [{"start": 1, "end": 2, "label": "nr"}]}', "span without a place"),
        ('{"text": "王明", "entities": [{"start": 0, "label": "nr"}]}', "entities not of the form"),
        ('{"text": "王明", "entities": "王明"}', "entities not of the form"),
        ('{"text": "王明", "entities": null}', "entities not of the form"),
    ],
)
def test_an_unreadable_record_is_set_aside_and_counted(tmp_path, bad, reason):
    write(tmp_path, "a.jsonl", json_lines(*GOOD_ENTITIES) + bad + "\n")
    found = read_records(entities(TaskSource(path="a.jsonl")), tmp_path)
    assert len(found.records) == 100
    ((counted, number),) = found.quarantined.items()
    assert number == 1
    assert counted.startswith(reason)
    assert found.quarantined_places == [f"a.jsonl:101: {counted}"]


@pytest.mark.parametrize(("row", "reason"), [("a,b,pos\n", "ragged row"), ('"a,pos\n', "unclosed_quote row")])
def test_a_broken_row_is_set_aside_and_the_next_is_read(tmp_path, row, reason):
    write(tmp_path, "a.csv", "text,label\n" + "好,pos\n" * 20 + row + "差,neg\n")
    found = read_records(classes(TaskSource(path="a.csv")), tmp_path)
    assert [record.label for record in found.records] == ["pos"] * 20 + ["neg"]
    assert found.records[-1].line == 23
    assert [place.split(": ")[0] for place in found.quarantined_places] == ["a.csv:22"]
    assert next(iter(found.quarantined)).startswith(reason)


def test_bytes_that_are_no_text_are_set_aside(tmp_path):
    write(tmp_path, "a.txt", ("今天天气很好\n" * 20).encode() + b"\xff\xfe\x80\n" + "真好\n".encode())
    found = read_records(classes(TaskSource(path="a.txt", label="pos", encoding="utf-8")), tmp_path)
    assert len(found.records) == 21
    assert found.quarantined == {"unreadable line": 1}


def test_a_file_that_is_hardly_readable_stops_the_run(tmp_path):
    write(tmp_path, "a.jsonl", json_lines({"text": "好", "label": "pos"}) + "x\n" * 3)
    message = fault_of(classes(TaskSource(path="a.jsonl")), tmp_path)
    assert message.startswith("a.jsonl: 3 of 4 records cannot be read, expected at most max_bad_fraction = 10%;")
    assert "a.jsonl:2: broken JSON" in message


def test_a_task_without_records_is_an_error(tmp_path):
    write(tmp_path, "a.txt", "\n\n")
    message = fault_of(classes(TaskSource(path="a.txt", label="pos")), tmp_path)
    assert message == "sources 'a.txt': no labelled record, expected at least one; check paths and formats"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (classes(TaskSource(path="a.txt")), "lines of plain text carry no label"),
        (classes(TaskSource(path="a.txt", format="tagged_words")), "'tagged_words' holds no class"),
        (classes(TaskSource(path="a.bin")), "no format is known for this name"),
        (entities(TaskSource(path="a.csv")), "format 'csv' holds no entities"),
        (entities(TaskSource(path="a.txt", format="txt_line")), "format 'txt_line' holds no entities"),
        (entities(TaskSource(path="a.jsonl", label="nr")), "label 'nr' is one for whole texts"),
    ],
)
def test_a_format_that_cannot_carry_the_labels_is_refused(tmp_path, task, message):
    write(tmp_path, task.sources[0].path, "好\n")
    assert message in fault_of(task, tmp_path)


def test_compressed_names_go_by_the_extension_before(tmp_path):
    import gzip

    write(tmp_path, "a.jsonl.gz", gzip.compress(json_lines({"text": "好", "label": "pos"}).encode()))
    assert len(read_records(classes(TaskSource(path="a.jsonl.gz")), tmp_path).records) == 1
