"""Markdown becomes the paragraphs that a reader would read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.corpus.markdown import plain_paragraphs


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("# 标题\n看[这里](http://a.b)。\n\n- 甲\n- 乙\n", "标题\n看这里。\n甲\n乙"),
        ("---\ntitle: x\ntags: [a]\n---\n正文\n", "正文"),
        ("正文\n\n```py\nprint(1)\n```\n\n还有\n", "正文\n还有"),
        ("正文\n\n```\n没有结束的代码\n", "正文"),
        ("~~~\ncode\n~~~\n后面", "后面"),
        ("![图一](a.png) 和 [链接][1]\n\n[1]: http://a.b\n", "图一 和 链接"),
        ("[维基](http://a.b/c_(d)) <https://x.y>", "维基"),
        ("标题\n====\n\n正文\n\n---\n\n后面", "标题\n正文\n后面"),
        ("**粗** *斜* ~~删~~ `码` __下__ snake_case_name 2 * 3 * 4", "粗 斜 删 码 下 snake_case_name 2 * 3 * 4"),
        ("> 引用一\n> 引用二\n", "引用一引用二"),
        ("第一行\n第二行 and\nthird line\n", "第一行第二行 and third line"),
        ("1. 甲\n2. 乙\n* [x] 丙\n", "甲\n乙\n丙"),
        ("| 名 | 值 |\n|----|---:|\n| 甲 | 1 |\n", "名 值\n甲 1"),
        (r"\*不是斜体\* 和 \# 井号", "*不是斜体* 和 # 井号"),
        ("## 题 ##\n\n\n\n文", "题\n文"),
        ("", ""),
    ],
)
def test_markdown_is_reduced_to_paragraphs(text: str, plain: str):
    assert plain_paragraphs(text) == plain


@given(st.text("甲a#*_`~[]()!|>-=\n \\1.", max_size=80))
def test_any_text_is_reduced_without_an_error(text: str):
    assert "\n\n" not in plain_paragraphs(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["*", "[", "`", "```\n", "|", "> ", "-", "![](", "_a", "#", "(", "~~~\n"])
def test_long_runs_of_marks_end(unit: str):
    plain_paragraphs(unit * 5_000)
