"""Entities of a text as character spans: from tagged words, and carried through cleaning.

Tagged words are those of the People's Daily corpus: `江/nr 泽民/nr 主席/n`. Three decisions, each checked on its
January of 1998 (1.1 million words):

- a person's family name and given name are two words there, so adjacent `nr` words are joined by `name_lengths`
  (20,084 names come out, 15,162 of several words), and lists of names (`李/nr 鹏/nr 乔/nr 石/nr`) come apart;
- adjacent words of any other type stay apart: 河南省/ns 鄢陵县/ns are two places, 公安部/nt 民政部/nt two bodies;
- compounds in brackets (`[中央/n 电视台/n]nt`) are no entities: the parser of lines drops the brackets, and the
  version of that file in use has none.

Source of the tags: Yu Shiwen et al. 2002, "The Basic Processing of Contemporary Chinese Corpus at Peking
University", Journal of Chinese Information Processing 16(5).
"""

import itertools
import re
from collections.abc import Callable, Sequence

Span = tuple[int, int, str]
"""First character, one past the last character, type."""

PERSON_TAG = "nr"

COMPOUND_SURNAMES = frozenset(
    re.findall(
        "..",
        "万俟司马上官欧阳夏侯诸葛闻人东方赫连皇甫尉迟公羊澹台公冶宗政濮阳淳于单于太叔申屠公孙仲孙"
        "轩辕令狐钟离宇文长孙慕容鲜于闾丘司徒司空南宫独孤端木百里呼延东郭西门欧陽司馬諸葛軒轅長孫",
    )
)


def name_lengths(words: Sequence[str]) -> list[int]:
    """Divide a run of adjacent person words into names; return how many words each name has.

    A one-character word or a compound surname opens a name and takes the word after it. The last three words of a run
    are one name where two one-character surnames stand before a given name of two characters or more (陈 方 安生). Any
    other word, such as a foreign name, is a name by itself.

    Example: `name_lengths(["江", "泽民", "李", "鹏"])` -> `[2, 2]`, and
    `name_lengths(["克林顿", "欧阳", "修"])` -> `[1, 2]`.
    """
    lengths: list[int] = []
    at = 0
    while at < len(words):
        left = len(words) - at
        opens = len(words[at]) == 1 or words[at] in COMPOUND_SURNAMES
        if left == 3 and len(words[at]) == len(words[at + 1]) == 1 < len(words[at + 2]):
            lengths.append(3)
        else:
            lengths.append(2 if opens and left > 1 else 1)
        at += lengths[-1]
    return lengths


def spans_of_words(words: Sequence[str], tags: Sequence[str], types: frozenset[str]) -> list[Span]:
    """Find the entities among tagged words; offsets are into the words joined without spaces.

    Example: words `["主席", "江", "泽民"]`, tags `["n", "nr", "nr"]`, types `{"nr"}` -> `[(2, 5, "nr")]`.

    Args:
        words: of one line.
        tags: one for each word.
        types: tags that are entities.
    """
    spans: list[Span] = []
    at, index = 0, 0
    while index < len(words):
        tag = tags[index]
        if tag not in types:
            at += len(words[index])
            index += 1
            continue
        stop = index + 1
        if tag == PERSON_TAG:
            while stop < len(words) and tags[stop] == tag:
                stop += 1
        for length in name_lengths(words[index:stop]) if tag == PERSON_TAG else [1]:
            end = at + sum(map(len, words[index : index + length]))
            spans.append((at, end, tag))
            at, index = end, index + length
    return spans


def without_overlaps(spans: Sequence[Span], longest: bool = True) -> list[Span]:
    """Keep the longest of overlapping spans (the first of equals), in the order of the text.

    Example: `without_overlaps([(0, 2, "ns"), (0, 4, "nt"), (5, 6, "nr")])` -> `[(0, 4, "nt"), (5, 6, "nr")]`.

    Args:
        spans: of one text.
        longest: False keeps the one that comes first in `spans` instead.
    """
    ordered = sorted(spans, key=lambda span: (span[0], span[1]))
    if all(before[1] <= after[0] for before, after in itertools.pairwise(ordered)):
        return ordered
    kept: list[Span] = []
    for span in sorted(ordered, key=lambda span: span[0] - span[1]) if longest else spans:
        if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    return sorted(kept)


def clean_with_spans(text: str, spans: Sequence[Span], clean: Callable[[str], str]) -> tuple[str, list[Span]] | None:
    """Clean a text and carry its spans to where their characters went.

    Example: with a cleaning that folds digits and strips spaces, `("　１９９８年", [(1, 6, "t")])` ->
    `("1998年", [(0, 5, "t")])`.

    Args:
        text: raw text.
        spans: into the raw text, each inside it and not empty; spaces at their ends are left out.
        clean: the cleaning; it may change the length.

    Returns:
        The clean text and its spans, or None where a span has no place there: nothing of it is left, or a character
        outside it was composed with one inside it.
    """
    cleaned = clean(text)
    trimmed = [_without_outer_spaces(text, span) for span in spans]
    if any(start >= end for start, end, _ in trimmed):
        return None
    if len(cleaned) == len(text):
        changes = {(old, new) for old, new in zip(text, cleaned, strict=True) if old != new}
        if all(clean(old) == new for old, new in changes):  # character by character, so nothing has moved
            return cleaned, trimmed
    moved: list[Span] = []
    for start, end, label in trimmed:
        inside, before = clean(text[start:end]), clean(text[:end])
        if not inside or not cleaned.startswith(before) or not before.endswith(inside):
            return None
        moved.append((len(before) - len(inside), len(before), label))
    return cleaned, moved


def _without_outer_spaces(text: str, span: Span) -> Span:
    start, end, label = span
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip()), label
