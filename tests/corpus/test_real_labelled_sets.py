"""The published sets that lie beside the checkout, each loaded through settings alone; skipped where absent."""

from pathlib import Path

import pytest

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.records import RecordSet, read_records
from bert_core.errors import TaskDataError

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "tasks"
NEWS = ["finance", "realty", "stocks", "education", "science", "society", "politics", "sports", "game", "entertainment"]
CLUENER = ["address", "book", "company", "game", "government", "movie", "name", "organization", "position", "scene"]
THEFT = ["NHCS", "NHVI", "NCSM", "NCGV", "NASI", "NT", "NS", "NO", "NATS", "NCSP"]
PEOPLE = ["PER", "LOC", "ORG"]


def load(family: str, labels: list[str], *paths: str, **settings) -> RecordSet:
    if not (DATA / paths[0]).exists():
        pytest.skip("shared/data is not beside the checkout")
    sources = [TaskSource(path=path, **settings) for path in paths]
    found = read_records(TaskConfig(family=family, labels=labels, sources=sources), DATA)  # type: ignore[arg-type]
    for books in found.files.values():
        assert books["used"] + books["repaired"] + books["quarantined"] == books["seen"]
    assert sum(books["seen"] for books in found.files.values()) == len(found.records) + len(found.quarantine)
    for record in found.records:
        assert all(0 <= start < end <= len(record.text) for start, end, _ in record.spans)
        assert all(record.text_pair[start:].startswith(answer) for start, answer in record.answers if record.text_pair)
    return found


def test_cmrc2018_dev_has_200_wrong_offsets_of_which_7_are_mended():
    found = load("extractive_qa", [], "qa/cmrc2018/cmrc2018_dev.json")
    assert (found.repairs["answer_offset"], found.repairs["answer_without_place"]) == (7, 193)
    assert not found.quarantine
    assert found.files["qa/cmrc2018/cmrc2018_dev.json"]["seen"] == 3219


def test_cmrc2018_trial():
    found = load("extractive_qa", [], "qa/cmrc2018/cmrc2018_trial.json")
    assert found.files["qa/cmrc2018/cmrc2018_trial.json"]["seen"] == 1002
    assert found.repairs["answer_offset"] == 5
    assert found.quarantined == {"empty text": 2}


@pytest.mark.parametrize(("path", "num_records"), [("dev.tsv", 8802), ("test.txt", 12500)])
def test_lcqmc_has_no_header(path, num_records):
    settings = {"format": "tsv", "columns": ["text", "text_pair", "label"]}
    found = load("sentence_pair", ["0", "1"], f"pair/lcqmc/{path}", **settings)
    assert len(found.records) == num_records


def test_cmrc_qnli():
    paths = [f"pair/cmrc_qnli/{name}.jsonl" for name in ("train", "dev", "test")]
    found = load("sentence_pair", ["0", "1"], *paths, text_column="text_a", text_pair_column="text_b")
    assert not found.quarantine


def test_law_department():
    labels = ["社会法", "诉讼与非诉讼程序法", "经济法", "宪法相关法", "民法商法", "行政法", "刑法"]
    found = load(
        "single_sentence", labels, *[f"single/law_department/{name}.jsonl" for name in ("train", "dev", "test")]
    )
    assert len(found.records) == sum(books["seen"] for books in found.files.values()) > 0


def test_thucnews_titles_have_numbers_for_labels():
    names = {str(number): name for number, name in enumerate(NEWS)}
    settings = {"format": "tsv", "columns": ["text", "label"], "label_names": names}
    found = load(
        "single_sentence", NEWS, "single/thucnews_titles/dev.txt", "single/thucnews_titles/test.txt", **settings
    )
    assert len(found.records) == 20_000
    assert found.records[0].label == "game"


def test_cluener_is_printed_over_several_lines_with_inclusive_ends():
    settings = {"entities_column": "label", "span_ends": "inclusive"}
    found = load("sequence_labelling", CLUENER, "ner/cluener2020/train.json", "ner/cluener2020/dev.json", **settings)
    assert len(found.records) + len(found.quarantine) == 10_748 + 1_343
    assert found.repairs["entity_offset"] == found.repairs["entity_without_place"] == 0
    assert {found.records[0].text[start:end] for start, end, _ in found.records[0].spans} == {"叶老桂", "浙商银行"}


def test_cluener_test_has_no_labels_and_says_so():
    with pytest.raises(TaskDataError, match=r"test\.json:1: no column 'label', got \['id', 'text'\]"):
        load("sequence_labelling", CLUENER, "ner/cluener2020/test.json", entities_column="label")


def test_xxcq_law_has_overlapping_entities():
    settings = {"text_column": "context"}
    found = load("sequence_labelling", THEFT, "ner/xxcq_law/xxcq_small.json", "ner/xxcq_law/xxcq_mid.json", **settings)
    assert len(found.records) + len(found.quarantine) == 2_277 + 5_247
    assert found.repairs["overlapping_entity"] == 1572
    assert [books["repaired"] for books in found.files.values()] == [397, 899]


def test_xxcq_law_can_set_aside_what_overlaps():
    path = "ner/xxcq_law/xxcq_small.json"
    if not (DATA / path).exists():
        pytest.skip("shared/data is not beside the checkout")
    source = TaskSource(path=path, text_column="context", overlaps="quarantine")
    task = TaskConfig(family="sequence_labelling", labels=THEFT, sources=[source], max_bad_fraction=0.2)
    assert read_records(task, DATA).quarantined == {"overlapping entities": 395}


@pytest.mark.parametrize(
    ("split", "num_records", "num_spaced"), [("train", 3997, 179), ("dev", 500, 15), ("test", 500, 19)]
)
def test_uner_has_one_word_a_line_and_its_text_above(split, num_records, num_spaced):
    path = f"ner/uner_zh/zh_gsdsimp-ud-{split}.iob2"
    found = load("sequence_labelling", PEOPLE, path, columns=["id", "text", "label", "other", "annotator"])
    assert len(found.records) == num_records
    assert sum(" " in record.text for record in found.records) >= num_spaced - 5
    text = (DATA / path).read_text(encoding="utf-8")
    assert sum(len(record.spans) for record in found.records) == text.count("\tB-")


@pytest.mark.parametrize(("split", "num_records"), [("train", 700), ("dev", 150), ("test", 150)])
def test_uner_char_has_one_character_a_line(split, num_records):
    found = load("sequence_labelling", PEOPLE, f"ner/uner_char/{split}.bio")
    assert len(found.records) == num_records
    text = (DATA / f"ner/uner_char/{split}.bio").read_text(encoding="utf-8")
    assert sum(len(record.spans) for record in found.records) == text.count("\tB-")
