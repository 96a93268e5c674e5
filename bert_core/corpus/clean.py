"""Repairs of text as named rules, each counted and listed in a document's `repairs` column.

Rules, in order:

- unicode_form: NFC or NFKC, as the recipe says.
- half_width: full-width letters and digits become ASCII ones; Chinese punctuation stays.
- markup: character entities become characters; HTML comments, scripts and tags of known names go.
- line_ends: CR, CR LF, vertical tab, form feed, U+0085, U+2028 and U+2029 become a line feed.
- control_characters: ANSI escapes, C0 and C1 controls, zero-width and direction marks, soft hyphens go.
- lone_surrogates: half of a surrogate pair becomes U+FFFD.
- script: traditional Chinese becomes simplified (OpenCC), where the recipe says so.
- punctuation: quotes, dashes and ellipses that Google's Chinese vocabulary lacks become others, as the recipe says.
- whitespace: runs of spaces become one, none at the ends of a line, no blank lines.
- repeated_lines: a line equal to the one above it goes.

What markup or control characters leave behind may call for an earlier rule, so the rules then run again, until
cleaning once more would change nothing (but for OpenCC, which goes by words and may find new ones). Nothing here
guesses at spelling, mojibake or language.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import xxhash

from bert_core.config import CorpusConfig
from bert_core.corpus.code_points import in_normal_form, membership, sets_in

_MAX_ROUNDS = 8

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_COMMENT_OR_SCRIPT = re.compile(r"<!--.*?-->|<(script|style)\b[^<>]*>.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BLOCK_TAG = re.compile(
    r"</?(?:address|article|blockquote|br|center|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li|main|nav|ol"
    r"|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)(?:\s[^<>=]*=[^<>]*|\s*)/?>",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(
    r"</?(?:a|abbr|b|body|button|cite|code|del|em|embed|font|form|head|html|i|iframe|img|input|ins|kbd|label|link|mark"
    r"|meta|object|q|s|samp|script|small|span|strike|strong|style|sub|sup|svg|title|tt|u|var|video)(?:\s[^<>=]*=[^<>]*|\s*)/?>",
    re.IGNORECASE,
)
_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_CONTROL_CHARACTER = (
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_CONTROL = re.compile(rf"\x1b\[[0-9;?]*[ -/]*[@-~]|{_CONTROL_CHARACTER}+")  # ANSI escape sequences as a whole
_SURROGATE = re.compile("[\ud800-\udfff]")
_FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ]+")
_TO_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# Wide punctuation vanishes from the normalised form anyway; without it most Chinese text is in NFKC as it stands, and
# Python's normalisation, slow when it has work to do, finds none.
_WIDE_PUNCTUATION = re.compile("[…\u3000\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+")
_APOSTROPHE = re.compile("(?<=[A-Za-z])’(?=[A-Za-z])")
_DASHES_AND_DOTS = {"—": "-", "―": "-", "–": "-", "…": "..."}
_CORNER = str.maketrans({"“": "「", "”": "」", "‘": "『", "’": "』", **_DASHES_AND_DOTS})
_ASCII_MARKS = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", **_DASHES_AND_DOTS})
_NOT_WORD = re.compile(r"[\W_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def clean(text: str, config: CorpusConfig) -> tuple[str, list[str]]:
    r"""Apply the repairs that a corpus asks for.

    Example: with the defaults, `clean("１９９８年 <b>好</b>\r\n", config)` -> `("1998年 好", ["half_width",
    "markup", "line_ends", "whitespace"])`.

    Args:
        text: one document as read.
        config: says the Unicode form, whether full-width letters are folded, and which rules are left out.

    Returns:
        The cleaned text, paragraphs separated by one line feed; and the names of the rules that changed
        it, in the order of the module's list.
    """
    rules: list[tuple[str, Callable[[str], str]]] = []
    if config.unicode_form != "none":
        rules.append(("unicode_form", _to_nfkc if config.unicode_form == "nfkc" else _to_nfc))
    if config.half_width:
        rules.append(("half_width", _with_half_width))
    rules += [(name, apply) for name, apply in _RULES_OF_CHARACTERS if name not in config.skip_rules]
    if config.script == "simplified":
        rules.append(("script", _to_simplified))
    if config.punctuation != "keep":
        rules.append(("punctuation", _with_corner_quotes if config.punctuation == "corner" else _with_ascii_marks))
    rules += [(name, apply) for name, apply in _RULES_OF_LINES if name not in config.skip_rules]

    changed: set[str] = set()
    table = membership(*_CHARACTERS_OF_RULE.values())
    for _ in range(_MAX_ROUNDS):
        changed_now, present = set(), sets_in(text, table)
        for name, apply in rules:
            if name in _BITS and not present & _BITS[name]:
                continue
            repaired = apply(text)
            if repaired != text:
                changed_now.add(name)
                text = repaired
                present = sets_in(text, table)
        changed |= changed_now
        if changed_now.isdisjoint(_CALL_FOR_ANOTHER_ROUND):
            break
    return text, [name for name, _ in rules if name in changed]


def han_share(text: str) -> float:
    """Return the share of Han characters among the letters of a text, 0 to 1; 0 where it has no letters."""
    num_letters = sum(map(len, _LETTERS.findall(text)))
    return sum(map(len, _HAN.findall(text))) / num_letters if num_letters else 0.0


def normalise(text: str) -> str:
    """Return the form in which texts are compared: NFKC, lower case, letters and digits alone.

    Example: `normalise("Ｈello， 世界！") == normalise("hello 世界") == "hello世界"`.
    """
    form = in_normal_form(text, _normal_form)
    return _normal_form(text) if form is None else form


def _normal_form(text: str) -> str:
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", _WIDE_PUNCTUATION.sub(" ", text)).lower())


def document_id(text: str) -> int:
    """Return the 64-bit digest of a text's normalised form; duplicates share it.

    A text without any letter or digit is digested as it stands.

    Returns:
        An integer in [0, 2**64): xxh3_64 of the UTF-8 bytes.
    """
    return xxhash.xxh3_64_intdigest((normalise(text) or text).encode("utf-8", "surrogatepass"))


def _without_markup(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text and ">" in text:
        text = _COMMENT_OR_SCRIPT.sub("", text)
        text = _INLINE_TAG.sub("", _BLOCK_TAG.sub("\n", text))
    return text


def _to_nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _to_nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _with_half_width(text: str) -> str:
    return _FULL_WIDTH.sub(lambda match: match[0].translate(_TO_HALF_WIDTH), text)


def _to_simplified(text: str) -> str:
    return _opencc().convert(text)


@cache
def _opencc() -> Any:
    import opencc  # its dictionaries are read only where a recipe asks for them

    return opencc.OpenCC("t2s")


def _with_corner_quotes(text: str) -> str:
    return _APOSTROPHE.sub("'", text).translate(_CORNER)


def _with_ascii_marks(text: str) -> str:
    return text.translate(_ASCII_MARKS)


def _with_single_spaces(text: str) -> str:
    return "\n".join(filter(None, [" ".join(line.split()) for line in text.split("\n")]))


def _without_repeated_lines(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line for line, before in zip(lines, [None, *lines], strict=False) if line != before or not line)


_RULES_OF_CHARACTERS: list[tuple[str, Callable[[str], str]]] = [
    ("markup", _without_markup),
    ("line_ends", lambda text: _LINE_ENDS.sub("\n", text)),
    ("control_characters", lambda text: _CONTROL.sub("", text)),
    ("lone_surrogates", lambda text: _SURROGATE.sub("\ufffd", text)),
]
_RULES_OF_LINES: list[tuple[str, Callable[[str], str]]] = [
    ("whitespace", _with_single_spaces),
    ("repeated_lines", _without_repeated_lines),
]
_CHARACTERS_OF_RULE = {
    "half_width": "[０-９Ａ-Ｚａ-ｚ]",
    "punctuation": "[“”‘’—―–…]",
    "line_ends": "[\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]",
    "control_characters": f"\x1b|{_CONTROL_CHARACTER}",
    "lone_surrogates": "[\ud800-\udfff]",
}
"""Rules that change nothing where none of these characters stands."""
_BITS = {name: 1 << bit for bit, name in enumerate(_CHARACTERS_OF_RULE)}
_CALL_FOR_ANOTHER_ROUND = {"markup", "control_characters"}
