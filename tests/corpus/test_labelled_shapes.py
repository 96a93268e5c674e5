"""Every shape in which labelled sets come, read through settings alone, and the books of what was mended."""

import json
from pathlib import Path

import pytest

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.conll import entities_of_tags, join_words
from bert_core.corpus.records import RecordSet, read_records
from bert_core.corpus.span_forms import spans_of
from bert_core.corpus.split import build_split
from bert_core.corpus.squad import mend_answers, nearest
from bert_core.errors import TaskDataError
from bert_core.store.shards import read_shards


def load(folder: Path, family: str, labels: list[str], name: str, content: str, **settings) -> RecordSet:
    (folder / name).write_text(content, encoding="utf-8")
    task = TaskConfig(family=family, labels=labels, sources=[TaskSource(path=name, **settings)], max_bad_fraction=1.0)  # type: ignore[arg-type]
    return read_records(task, folder)


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("a.tsv", "text\ttext_pair\tlabel\n甲\t乙\t1\n丙\t丁\t0\n", {}),
        ("a.txt", "甲\t乙\t1\n丙\t丁\t0\n", {"format": "tsv", "columns": ["text", "text_pair", "label"]}),
        ("a.csv", '1,"甲","乙"\n0,丙,丁\n', {"columns": ["label", "text", "text_pair"]}),
        (
            "a.jsonl",
            '{"q1": "甲", "q2": "乙", "same": 1}\n{"q1": "丙", "q2": "丁", "same": "0"}\n',
            {"text_column": "q1", "text_pair_column": "q2", "label_column": "same"},
        ),
        (
            "a.json",
            '[{"text": "甲", "text_pair": "乙", "label": 1},\n {"text": "丙", "text_pair": "丁", "label": 0}]',
            {},
        ),
    ],
)
def test_pairs_come_from_tables_with_and_without_header_and_from_json(tmp_path, name, content, settings):
    found = load(
        tmp_path, "sentence_pair", ["no", "yes"], name, content, label_names={"1": "yes", "0": "no"}, **settings
    )
    assert [(r.text, r.text_pair, r.label) for r in found.records] == [("甲", "乙", "yes"), ("丙", "丁", "no")]
    assert found.files[name] == {"seen": 2, "used": 2, "repaired": 0, "quarantined": 0}


def test_a_pair_needs_both_texts(tmp_path):
    found = load(tmp_path, "sentence_pair", ["0", "1"], "a.tsv", "text\ttext_pair\tlabel\n甲\t \t1\n甲\t乙\t1\n")
    assert [(r.text, r.line) for r in found.records] == [("甲", 3)]
    assert found.quarantined == {"empty second text": 1}


def test_without_quoting_a_quotation_mark_is_a_character(tmp_path):
    content = '"甲,1\n"乙",0\n'
    found = load(tmp_path, "single_sentence", ["0", "1"], "a.csv", content, columns=["text", "label"], quoting=False)
    assert [(r.text, r.label) for r in found.records] == [('"甲', "1"), ('"乙"', "0")]


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES", "BILOU", "BMES", "BMEWO", "suffix_"])
def test_every_scheme_of_tags_gives_the_same_entities(scheme):
    tags = {
        "BIO": "B-PER I-PER I-PER O B-LOC B-LOC I-LOC",
        "IOB1": "I-PER I-PER I-PER O I-LOC B-LOC I-LOC",
        "BIOES": "B-PER I-PER E-PER O S-LOC B-LOC E-LOC",
        "BILOU": "B-PER I-PER L-PER O U-LOC B-LOC L-LOC",
        "BMES": "B-PER M-PER E-PER O S-LOC B-LOC E-LOC",
        "BMEWO": "B-PER M-PER E-PER O W-LOC B-LOC E-LOC",
        "suffix_": "B_PER M_PER E_PER O S_LOC B_LOC E_LOC",
    }[scheme].split()
    found, mended = entities_of_tags(tags, has_ends=scheme not in ("BIO", "IOB1"))
    assert found == [(0, 3, "PER"), (4, 5, "LOC"), (5, 7, "LOC")]
    assert mended == (scheme == "IOB1")


@pytest.mark.parametrize(
    ("tags", "has_ends", "entities"),
    [
        ("O I-PER O", False, [(1, 2, "PER")]),
        ("B-PER I-LOC O", False, [(0, 1, "PER"), (1, 2, "LOC")]),
        ("B-PER O", True, [(0, 1, "PER")]),
        ("B-PER I-PER", True, [(0, 2, "PER")]),
        ("E-PER O", True, [(0, 1, "PER")]),
    ],
)
def test_tags_out_of_balance_are_mended_and_told(tags, has_ends, entities):
    assert entities_of_tags(tags.split(), has_ends) == (entities, True)


def test_one_character_a_line_and_one_word_a_line_give_the_same_text(tmp_path):
    characters = "王 B-PER\n小 I-PER\n明 I-PER\n住 O\nA O\n1 O\n\n好 O\n"
    words = "# newdoc id = x\n# text = 王小明住 A1\n1\t王小明\tB-PER\t-\n2\t住\tO\t-\n3\tA1\tO\t-\n\n1\t好\tO\t-\n"
    first = load(tmp_path, "sequence_labelling", ["PER"], "a.bio", characters)
    second = load(
        tmp_path, "sequence_labelling", ["PER"], "b.iob2", words, columns=["id", "text", "label", "annotator"]
    )
    assert [(r.text, r.spans, r.line) for r in first.records] == [("王小明住A1", ((0, 3, "PER"),), 1), ("好", (), 8)]
    assert [(r.text, r.spans, r.line) for r in second.records] == [("王小明住 A1", ((0, 3, "PER"),), 3), ("好", (), 7)]
    assert second.records[0].group == second.records[1].group
    assert first.records[0].group != first.records[1].group


def test_latin_words_are_joined_with_a_space_and_single_characters_are_not():
    assert join_words(["在", "New", "York", "A", "B"], "auto") == ("在New York AB", [0, 1, 5, 10, 11])
    assert join_words(["好", "的"], "space") == ("好 的", [0, 2])
    assert join_words(["a", "bc"], "none") == ("abc", [0, 1])
    assert join_words(["甲", "乙"], "auto", "甲  丙") == ("甲乙", [0, 1])  # the comment is of another sentence


def test_a_sentence_with_a_word_that_has_no_tag_is_set_aside_whole(tmp_path):
    found = load(tmp_path, "sequence_labelling", ["PER"], "a.bio", "王 B-PER\n明\n\n好 O\n天 O\n")
    assert [(r.text, r.line) for r in found.records] == [("好天", 4)]
    assert found.quarantine == [
        {"file": "a.bio", "line": 1, "byte_offset": 0, "reason": "word without a tag", "excerpt": "王"}
    ]


@pytest.mark.parametrize(
    ("entities", "inclusive"),
    [
        ([{"start": 0, "end": 3, "label": "PER"}], False),
        ([{"start_offset": 0, "end_offset": 3, "type": "PER"}], False),
        ([[0, 2, "PER"]], True),
        ([{"label": "PER", "span": ["0;3"]}, {"label": "LOC", "span": []}], False),
        ([{"label": "PER", "span": [[0, 2]]}], True),
        ({"PER": {"王小明": [[0, 2]]}}, True),
        ({"PER": [[0, 3]]}, False),
    ],
)
def test_every_form_of_entities_gives_the_same_spans(entities, inclusive):
    assert spans_of(entities, "王小明来了", inclusive) == ([(0, 3, "PER")], 0, 0)


def test_entities_are_moved_to_their_surface_and_left_out_where_it_stands_nowhere():
    entities = {"PER": {"小明": [[0, 1]], "李": [[0, 0]]}}
    assert spans_of(entities, "王小明来了", True) == ([(1, 3, "PER")], 1, 1)


@pytest.mark.parametrize(
    "entities", ["x", [1], [{"label": "PER"}], {"PER": 3}, [[0, 2]], [{"label": 1, "span": []}], None]
)
def test_entities_in_no_known_form_are_told(entities):
    assert spans_of(entities, "王小明来了", False) is None


@pytest.mark.parametrize(
    ("overlaps", "spans"),
    [("longest", ((0, 4, "ORG"),)), ("first", ((0, 2, "LOC"), (2, 4, "LOC")))],
)
def test_a_setting_says_which_of_overlapping_entities_stays(tmp_path, overlaps, spans):
    content = json.dumps({"text": "北京南京", "entities": [[0, 2, "LOC"], [0, 4, "ORG"], [2, 4, "LOC"]]})
    found = load(tmp_path, "sequence_labelling", ["LOC", "ORG"], "a.jsonl", content, overlaps=overlaps)
    assert [record.spans for record in found.records] == [spans]
    assert found.repairs["overlapping_entity"] == 3 - len(spans)
    assert found.files["a.jsonl"] == {"seen": 1, "used": 0, "repaired": 1, "quarantined": 0}


def test_overlapping_entities_can_set_their_record_aside(tmp_path):
    rows = [{"text": "北京好", "entities": [[0, 2, "LOC"], [1, 3, "LOC"]]}, {"text": "北京好", "entities": []}]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    found = load(tmp_path, "sequence_labelling", ["LOC"], "a.jsonl", content, overlaps="quarantine")
    assert found.quarantined == {"overlapping entities": 1}
    assert len(found.records) == 1


def test_objects_over_several_lines_are_read_one_after_the_other(tmp_path):
    content = (
        '{\n  "text": "好",\n  "label": "a"\n}\n{\n  "text": 坏\n}\n{\n  "text": "差",\n  "label": "b"\n}\n{"text": "断'
    )
    found = load(tmp_path, "single_sentence", ["a", "b"], "a.json", content)
    assert [(r.text, r.label, r.line) for r in found.records] == [("好", "a", 1), ("差", "b", 8)]
    assert [(row["line"], row["byte_offset"], row["reason"]) for row in found.quarantine] == [
        (5, content.encode().index(b'{\n  "text": \xe5\x9d\x8f'), "broken JSON"),
        (12, content.encode().rindex(b"{"), "broken JSON"),
    ]


def squad(*paragraphs: tuple[str, list[dict]]) -> str:
    rows = [{"context": context, "qas": questions} for context, questions in paragraphs]
    return json.dumps({"version": "1", "data": [{"title": "x", "paragraphs": rows}]}, ensure_ascii=False, indent=1)


def test_squad_becomes_questions_with_answers_in_their_context(tmp_path):
    questions = [
        {"id": "q1", "question": "何时？", "answers": [{"text": "１月", "answer_start": 3}]},
        {
            "id": "q2",
            "question": "谁？",
            "answers": [{"text": "王明", "answer_start": 0}, {"text": "无", "answer_start": -1}],
        },
        {"id": "q3", "question": "哪里？", "answers": [{"text": "海边", "answer_start": 2}]},
        {"id": "q4", "question": "几人？", "answers": [], "is_impossible": True},
    ]
    content = squad(("  王明１月来", questions))
    found = load(tmp_path, "extractive_qa", [], "a.json", content)
    assert [(r.key, r.text, r.text_pair, r.answers) for r in found.records] == [
        ("q1", "何时？", "王明1月来", ((2, "1月"),)),
        ("q2", "谁？", "王明1月来", ((0, "王明"),)),
        ("q4", "几人？", "王明1月来", ()),
    ]
    assert found.quarantined == {"no answer stands in the context": 1}
    assert found.repairs["answer_offset"] == 2
    assert found.repairs["answer_without_place"] == 1
    assert found.files["a.json"] == {"seen": 4, "used": 0, "repaired": 3, "quarantined": 1}
    lines = content.split("\n")
    assert ['"id": "q1"' in lines[r.line - 1] for r in found.records[:1]] == [True]
    assert len({record.group for record in found.records}) == 1


def test_flat_questions_are_read_as_the_datasets_library_writes_them(tmp_path):
    row = {"id": 7, "question": "谁？", "context": "王明来", "answers": {"text": ["王明"], "answer_start": [0]}}
    found = load(tmp_path, "extractive_qa", [], "a.jsonl", json.dumps(row) + "\n")
    assert [(r.key, r.answers) for r in found.records] == [("7", ((0, "王明"),))]


def test_an_answer_is_moved_to_the_nearest_place_of_its_text():
    assert mend_answers("雨水多，雨水", [(3, "雨水"), (0, "雨水"), (0, "晴")]) == ([(4, "雨水"), (0, "雨水")], 1, 1)
    assert nearest("aXa", "a", 1) == 0
    assert nearest("abc", "", 1) is None


def test_more_quarantine_than_the_recipe_allows_stops_the_run(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "好", "label": "a"}\n' * 3 + "x\n", encoding="utf-8")
    sources = [TaskSource(path="a.jsonl")]
    with pytest.raises(TaskDataError, match="1 of 4 records cannot be read, expected at most max_bad_fraction = 20%"):
        read_records(
            TaskConfig(family="single_sentence", labels=["a", "b"], sources=sources, max_bad_fraction=0.2), tmp_path
        )


def test_a_split_holds_pairs_and_questions_and_writes_what_it_set_aside(tmp_path):
    for split in ("train", "dev", "test"):
        content = squad(
            (
                f"{split}一年的雨水很多",
                [{"id": split, "question": "什么多？", "answers": [{"text": "雨水", "answer_start": 0}]}],
            )
        )
        (tmp_path / f"{split}.json").write_text(content[:-1] + ("" if split == "dev" else "}"), encoding="utf-8")
    (tmp_path / "dev.json").write_text(
        (tmp_path / "train.json").read_text().replace("train", "dev") + "\n{", encoding="utf-8"
    )
    sources = [TaskSource(path=f"{name}.json", split=name) for name in ("train", "dev", "test")]  # type: ignore[arg-type]
    task = TaskConfig(family="extractive_qa", sources=sources, max_bad_fraction=0.5)
    (tmp_path / "out").mkdir()
    counts = build_split(task, 1, tmp_path, tmp_path / "out")
    (row,) = read_shards(tmp_path / "out", "dev").to_pylist()
    assert (row["text"], row["text_pair"]) == ("什么多？", "dev一年的雨水很多")
    assert (row["answer_starts"], row["answer_texts"], row["key"]) == ([6], ["雨水"], "dev")
    assert counts["files"]["dev.json"] == {"seen": 2, "used": 0, "repaired": 1, "quarantined": 1}
    (aside,) = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert (aside["file"], aside["reason"]) == ("dev.json", "broken JSON")
