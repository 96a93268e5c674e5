"""Text to sentences by rules, for Chinese and English in one pass of one pattern.

A sentence ends after 。！？； or …… and, in Latin text, after . ! ? that are followed by a space and a new
beginning; the quotes, brackets and spaces behind an end mark stay with the sentence. Where a comma or
another mark follows the closing quote, the sentence goes on. A paragraph break always ends a sentence.
Decimals, initials, abbreviations, dotted names and addresses hold no sentence end.

The pieces joined are the text, to the last character. Commas never split; nothing here limits a
sentence's length. Whole corpora go through `sentence_kernel.py`, which gives the same ends from UTF-8 bytes; it takes
the abbreviations and sets of marks from here, and a change of the rules here must be made there too.
"""

import re

ABBREVIATIONS = (
    *("Mr", "Mrs", "Ms", "Dr", "Prof", "Rev", "Gen", "Sen", "Rep", "Gov", "Capt", "Sgt", "Col", "Lt", "St", "Sr", "Jr"),
    *("Mt", "Ft", "vs", "etc", "cf", "al", "approx", "dept", "est", "fig", "figs", "Fig", "Figs", "vol"),
    *("Vol", "pp", "ed", "eds", "Ed", "Inc", "Ltd", "Co", "Corp", "Bros", "Ph.D", "e.g", "i.e", "a.m", "p.m", "U.S"),
    *("U.K", "U.N", "D.C", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
)
CHINESE_END = "[。！？；…]"
CHINESE_RUN = "[。！？；…!?]"
CHINESE_GOES_ON = "[，、：；。！？…,;:.!?]"
LATIN_END = "[!?]"
LATIN_RUN = "[!?！？]"
LATIN_GOES_ON = "[A-Za-z0-9=&/，、；：。,;:.]"  # also in addresses
CLOSING = r"""[”’"'」』）)\]】》〉]"""
HAN = r"[\u4e00-\u9fff]"
NO_BEGINNING = r"[\sa-z,;:]"

_NOT_ABBREVIATED = (
    "".join(rf"(?<!\b{re.escape(word)}\.)" for word in ABBREVIATIONS)
    + r"(?<!\b[A-Za-z]\.) (?! (?<=\bNo\.) \s* \d )"  # initials; No. 5
)
# Every branch begins with the end mark itself, so that the engine jumps from mark to mark and looks around only there.
_END = re.compile(
    rf"""
    (?: {CHINESE_END} {CHINESE_RUN}*+ {CLOSING}*+ (?!{CHINESE_GOES_ON})
      | {LATIN_END} {LATIN_RUN}*+ {CLOSING}*+ (?!{LATIN_GOES_ON})
      | \. {_NOT_ABBREVIATED} \.*+ {CLOSING}*+ (?= \s+ (?!{NO_BEGINNING}) . | \s*\Z )  # Latin full stop
      | \. (?<={HAN}\.) {CLOSING}*+ (?={HAN})  # full stop typed as a dot
      | \n  # paragraph break
    ) \s*+
    """,
    re.VERBOSE | re.DOTALL,
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
