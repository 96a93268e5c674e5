"""Markdown to plain paragraphs: what a reader would read aloud, line by line, without a syntax tree.

Front matter, fenced code, tables' rulings, reference definitions and rulers go; links and images leave
their text; marks of headings, quotes, lists and emphasis go and their text stays. Lines of one paragraph
are joined, without a space between Chinese characters. HTML inside Markdown is left to the markup rule
of `clean.py`.
"""

import re

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FENCED_CODE = re.compile(
    r"^[ ]{0,3}(`{3,}|~{3,})[^\n]*\n(?:.*?\n)??[ ]{0,3}\1[`~]*[ \t]*$|^[ ]{0,3}(?:`{3,}|~{3,}).*\Z",
    re.DOTALL | re.MULTILINE,
)
_IMAGE = re.compile(r"(?<!\\)!\[([^\]\n]*)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\]\n]*\])")
_LINK = re.compile(r"(?<!\\)\[([^\]\n]*)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)|\[[^\]\n]*\])")
_AUTOLINK = re.compile(r"<(?:https?|ftp|mailto):[^<>\s]*>")
_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\]\n]+\]:[^\n]*$", re.MULTILINE)
_RULER = re.compile(r"^[ ]{0,3}(?:(?:[-*_=][ \t]*){3,}|\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-*:?[ \t]*)+)$", re.MULTILINE)
_HEADING = re.compile(r"^[ ]{0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
_QUOTE = re.compile(r"^[ ]{0,3}(?:>[ ]?)+", re.MULTILINE)
_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?", re.MULTILINE)
_CODE_SPAN = re.compile(r"(`+)([^`\n]+)\1")
_EMPHASIS = re.compile(
    r"(?<!\\)(\*{1,3}|~~)(?=\S)([^*~\n]+?)(?<=[^\s\\])\1"
    r"|(?<![\w\\])(_{1,3})(?=\S)([^_\n]+?)(?<=[^\s\\])\3(?!\w)"
)
_CELL_BORDER = re.compile(r"[ \t]*\|[ \t]*")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")
_SOFT_BREAK = re.compile(r"(?<=[!-~])[ \t]*\n[ \t]*(?=[!-~])")
_TIGHT_BREAK = re.compile(r"[ \t]*\n[ \t]*")


def plain_paragraphs(text: str) -> str:
    r"""Reduce Markdown to its paragraphs, one a line.

    Example: `"# 标题\n看[这里](http://a.b)。\n\n- 甲\n- 乙\n"` -> `"标题\n看这里。\n甲\n乙"`.
    """
    text = text.replace("\r\n", "\n")
    text = _FENCED_CODE.sub("\n", _FRONT_MATTER.sub("", text))
    text = _DEFINITION.sub("", text)
    text = _AUTOLINK.sub("", _LINK.sub(r"\1", _IMAGE.sub(r"\1", text)))
    text = _RULER.sub("\n", text)
    text = _HEADING.sub(r"\n\1\n", _QUOTE.sub("", text))
    text = _LIST_ITEM.sub("\n\n", text)
    text = _CODE_SPAN.sub(r"\2", text)
    text = _EMPHASIS.sub(r"\2\4", text)
    if "|" in text:
        lines = text.split("\n")
        text = "\n".join(_CELL_BORDER.sub(" ", line).strip() + "\n" if line.count("|") > 1 else line for line in lines)
    text = _ESCAPED.sub(r"\1", text)
    paragraphs = (_joined(paragraph) for paragraph in re.split(r"\n[ \t]*\n", text))
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


def _joined(paragraph: str) -> str:
    """Join the lines of one paragraph: with a space between Latin ends, directly between Chinese ones."""
    return _TIGHT_BREAK.sub("", _SOFT_BREAK.sub(" ", paragraph.strip()))
