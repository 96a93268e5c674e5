"""Text to sentences by rules, for Chinese and English in one pass of one pattern.

A sentence ends after 。！？； or …… and, in Latin text, after . ! ? that are followed by a space and a new
beginning; the quotes, brackets and spaces behind an end mark stay with the sentence. Where a comma or
another mark follows the closing quote, the sentence goes on. A paragraph break always ends a sentence.
Decimals, initials, abbreviations, dotted names and addresses hold no sentence end.

The pieces joined are the text, to the last character. Commas never split; nothing here limits a
sentence's length.
"""

import re

_ABBREVIATIONS = (
    *("Mr", "Mrs", "Ms", "Dr", "Prof", "Rev", "Gen", "Sen", "Rep", "Gov", "Capt", "Sgt", "Col", "Lt", "St", "Sr", "Jr"),
    *("Mt", "Ft", "vs", "etc", "cf", "al", "approx", "dept", "est", "fig", "figs", "Fig", "Figs", "vol"),
    *("Vol", "pp", "ed", "eds", "Ed", "Inc", "Ltd", "Co", "Corp", "Bros", "Ph.D", "e.g", "i.e", "a.m", "p.m", "U.S"),
    *("U.K", "U.N", "D.C", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
)
_NOT_ABBREVIATED = (
    "".join(rf"(?<!\b{re.escape(word)}\.)" for word in _ABBREVIATIONS)
    + r"(?<!\b[A-Za-z]\.) (?! (?<=\bNo\.) \s* \d )"  # initials; No. 5
)
_CLOSING = r"""[”’"'」』）)\]】》〉]*+"""
# Every branch begins with the end mark itself, so that the engine jumps from mark to mark and looks around only there.
_END = re.compile(
    rf"""
    (?: [。！？；…] [。！？；…!?]*+ {_CLOSING} (?![，、：；。！？…,;:.!?])  # Chinese end marks
      | [!?] [!?！？]*+ {_CLOSING} (?![A-Za-z0-9=&/，、；：。,;:.])  # Latin ! and ?, not in addresses
      | \. {_NOT_ABBREVIATED} \.*+ {_CLOSING} (?= \s+ [^\sa-z,;:] | \s*\Z )  # Latin full stop
      | \. (?<=[\u4e00-\u9fff]\.) {_CLOSING} (?=[\u4e00-\u9fff])  # full stop typed as a dot
      | \n  # paragraph break
    ) \s*+
    """,
    re.VERBOSE,
)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences.

    Example: `split_sentences("他说：“好。”然后走了。它是3.14！")` -> `["他说：“好。”", "然后走了。", "它是3.14！"]`.

    Returns:
        Sentences with the spaces behind them; `"".join` of them is the text. Empty for the empty text.
    """
    ends = [match.end() for match in _END.finditer(text)]
    if ends and text[: ends[0]].isspace():
        del ends[0]  # space before the first sentence belongs to it
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]
