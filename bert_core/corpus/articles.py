"""Tagged words, and the articles of a newspaper file that marks none.

A line of `tagged_words` is one paragraph: `word/tag  word/tag  ...`, as in the People's Daily corpus of
January 1998 (Yu Shiwen et al. 2002, Peking University), where compound names stand in `[word/tag
word/tag]tag`. Files of that corpus that went through other hands have lost their article numbers;
`group_paragraphs` finds the articles again from the look of the lines. It reads no tags, so raw and
labelled readers group alike.
"""

import re
from collections.abc import Sequence

import numpy as np

HEADLINE_CHARACTERS = 40

_TAG = re.compile(r"/[A-Za-z]{1,4}(?:\][A-Za-z]{1,4})?(?:\s+|$)")
_NUMBER_OF_PARAGRAPH = re.compile(r"^\s*\d{8}-\d{2}-\d{3}-\d{3}/m\s+")
_PICTURE_NOTE = re.compile(r"[（(][^（）()]{0,6}(?:图片|照片|题图|插图)[^（）()]{0,8}[）)]$")
_ENDS_CLOSED = re.compile(r"[。！？…；：，、,.!?;:）)］\]][”’』」）》〉)\]】］]*$")
_IN_BRACKETS = re.compile(r"^[（(［【].*[）)］】]$")
_BYLINE = re.compile(r"^(?:本报|新华社|人民日报|本刊|中新社|据).{0,10}(?:记者|通讯员|特约)")
_DATELINE = re.compile(r"^据?(?:本报|新华社|中新社|人民日报)[^，。]{0,25}(?:电|讯)")
_LIST_ITEM = re.compile(
    r"^(?:[一二三四五六七八九十]+[、是]|[（(][一二三四五六七八九十０-９\d]+[）)]|[０-９\d]+[、．.]|[●■▲△○·◆☆★－—]"
    r"|图片|照片)"
)
_DATE = re.compile(r"^[一二三四五六七八九十○〇０-９\d年月日于晚夜初春夏秋冬岁末暮元旦第期至]+$")


def parse_tagged(line: str) -> tuple[list[str], list[str]]:
    """Split a line of tagged words.

    Example: `parse_tagged("[中央/n  电视台/n]nt  报道/v  １/２/m")` -> `(["中央", "电视台", "报道", "１/２"],
    ["n", "n", "v", "m"])`.

    Returns:
        Words and their tags; the tag is "" where a word carries none.
    """
    words, tags = [], []
    for token in _NUMBER_OF_PARAGRAPH.sub("", line).split():
        word, _, tag = token.rpartition("/")
        if not word:
            word, tag = token, ""
        words.append(word[1:] if word[0] == "[" and len(word) > 1 else word)
        tags.append(tag.partition("]")[0])
    return words, tags


def plain_text(line: str) -> str:
    """Return the text of a line of tagged words: the words of `parse_tagged` joined."""
    if "[" in line or line.startswith(("1", "2")):
        return "".join(parse_tagged(line)[0])
    return _TAG.sub("", line.strip())


def group_paragraphs(lines: Sequence[str]) -> np.ndarray:
    """Put the paragraphs of a newspaper together into articles.

    A paragraph looks like a headline where it has at most 40 characters (a picture note at its end not
    counted), does not end in punctuation and is not wholly in brackets. It begins an article

    1. where it looks like a headline, the one before does not, and it is no byline, list item or date;
    2. where it is as short, ends in ！ or ？, and a byline or dateline follows;
    3. where it opens with a dateline (本报…讯, 新华社…电) and its article has had one: the next short item;
    4. after an empty paragraph.

    A subheading inside an article also begins a new one: an article cut in two costs less than two made
    into one, whose border would be taken for a text going on.

    Example: `["新年音乐会", "本报讯昨晚举行。", "演出很成功。", "气象预报", "今天有雪。"]` -> `[0, 0, 0, 1, 1]`.

    Args:
        lines: plain text of each paragraph, in order.

    Returns:
        Article number of each paragraph from 0, ascending, int64 shape (num_paragraphs,).
    """
    begins = np.zeros(len(lines), bool)
    has_dateline = False
    for index, line in enumerate(lines):
        before = lines[index - 1] if index else ""
        is_dated = _DATELINE.match(line) is not None
        begins[index] = (
            not before
            or begins_article(before, line, lines[index + 1] if index + 1 < len(lines) else "")
            or (is_dated and has_dateline)
        )
        has_dateline = is_dated or (has_dateline and not begins[index])
    return np.maximum(np.cumsum(begins) - 1, 0)


def begins_article(before: str, line: str, after: str) -> bool:
    """Say whether a paragraph begins an article by rules 1 and 2, which need only its neighbours."""
    if _looks_like_headline(before):
        return False
    if _looks_like_headline(line):
        return not (_BYLINE.match(line) or _LIST_ITEM.match(line) or _DATE.match(line))
    return (
        len(line) <= HEADLINE_CHARACTERS
        and _PICTURE_NOTE.sub("", line).endswith(("！", "？"))
        and (_BYLINE.match(after) or _DATELINE.match(after)) is not None
    )


def _looks_like_headline(line: str) -> bool:
    title = _PICTURE_NOTE.sub("", line)
    return (
        0 < len(title) <= HEADLINE_CHARACTERS
        and _ENDS_CLOSED.search(title) is None
        and _IN_BRACKETS.match(line) is None
    )
