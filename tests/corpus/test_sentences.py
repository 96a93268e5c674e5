"""Sentences end where a reader would say so, and joined they are the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.corpus.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["今天天气很好。", "我们去公园！", "你去吗？", "好；", "走吧"],
        ["他说：“好。”", "然后走了。"],
        ["他说“好！”，走了。"],
        ["（见下文。）", "下文在此。"],
        ["真的？！", "是的……", "走了"],
        ["“去哪儿？”", "他问。"],
        ["圆周率是3.14。", "版本2.0.1发布了！"],
        ["Mr. Smith left at 5 p.m. on Monday. ", 'He said "No." ', "Then he came back. ", "See No. 5 there."],
        ["See fig. 3, e.g. the left one. ", "It is J. R. Smith's."],
        ["Visit http://a.com/b?c=1 now! ", "Is a!=b? ", "Yes."],
        ["第一段没有句号\n\n", "第二段\n", "第三段"],
        ["他说：「走。」\n", "完。"],
        ["  开头的空格。", "后面"],
        ["用的是Python.org的文件。"],
        ["他走了.", "我也走了."],
        ["Wait... what? ", "Yes."],
        ["一"],
    ],
)
def test_sentences_of_a_text(sentences: list[str]):
    assert split_sentences("".join(sentences)) == sentences


def test_the_empty_text_has_no_sentence():
    assert split_sentences("") == []


@settings(max_examples=500)
@given(st.text(st.one_of(st.sampled_from('今天ab1。！？；…，.!?,;:"”’」）)] \n\tMr'), st.characters()), max_size=60))
def test_sentences_joined_are_the_text(text: str):
    sentences = split_sentences(text)
    assert "".join(sentences) == text
    assert all(sentences)
    assert len(sentences) == 1 or not any(sentence.isspace() for sentence in sentences)


def test_a_paragraph_break_always_ends_a_sentence():
    assert all("\n" not in sentence.rstrip() for sentence in split_sentences("a\nb\n\nc。\nd"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["。", "”", "。”", ".", "a", " ", "\n", "…", "! ", "(", "Mr. "])
def test_long_runs_take_linear_time(unit: str):
    text = unit * 200_000
    assert "".join(split_sentences(text)) == text
