"""Files with one word (or one character) and its tag a line, a blank line behind each sentence.

Tags of every common scheme are read by one rule: B begins an entity, I and M go on, E and L end one, S, U and W are
one by themselves, O and _ are outside; `B-PER`, `B_PER`, and a bare `PER` as inside. So BIO (IOB1, IOB2), BIOES,
BILOU, BMES and BMEWO need no setting. What is out of balance (an I behind nothing of its type, a B that no E closes
in a file that has E) is an entity all the same, as far as its tags go, and the sentence is counted as mended.

`-DOCSTART-` and `# newdoc` begin a document, whose sentences stay in one split. A line `# text = ...` gives the text
with its spaces (CoNLL-U); it is used where the words stand in it one after the other.

Sources: Tjong Kim Sang and De Meulder 2003 (CoNLL-2003); Ramshaw and Marcus 1995 (IOB).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bert_core.corpus.decode import Line
from bert_core.corpus.entities import Span

MENDED = "unbalanced_tags"

_COMMENT = re.compile(r"#\s*(?:[\w.]+\s*=|newdoc\b|newpar\b)")
_TEXT_COMMENT = re.compile(r"#\s*text\s*=\s?(.*)\Z", re.DOTALL)
_NEW_DOCUMENT = re.compile(r"#\s*newdoc\b")
_TAG = re.compile(r"([BIMELSUW])[-_](.+)\Z")
_BEGINS, _GOES_ON, _ENDS, _SINGLE = "B", "IM", "EL", "SUW"


@dataclass(slots=True)
class Sentence:
    """One sentence of a file."""

    line: int
    """Its first line of words, from 1."""
    byte_offset: int
    """First byte of that line."""
    document: int
    """Number of its document in the file; 0 where the file marks none."""
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    text: str | None = None
    """From a `# text = ` line."""
    fault: str = ""
    """Why it cannot be used."""


def read_sentences(lines: Iterable[Line], text_field: int, tag_field: int) -> Iterator[Sentence]:
    """Read the sentences of a file.

    Args:
        lines: of the file.
        text_field: column of the words, from 0; negative ones count from the end.
        tag_field: column of the tags.
    """
    document, text, sentence = 0, None, None
    for line in lines:
        content = line.text
        if content is not None and not content.strip():
            if sentence is not None:
                yield sentence
            text, sentence = None, None
            continue
        if content is not None and sentence is None and _COMMENT.match(content):
            document += _NEW_DOCUMENT.match(content) is not None
            match = _TEXT_COMMENT.match(content)
            text = match[1] if match else text
            continue
        if content is not None and content.startswith("-DOCSTART-"):
            document += 1
            continue
        if sentence is None:
            sentence = Sentence(line.number, line.byte_offset, document, text=text)
        if content is None:
            sentence.fault = "unreadable line"
            continue
        fields = content.split("\t") if "\t" in content else content.split()
        if len(fields) < 2 or max(text_field, tag_field) >= len(fields) or not fields[text_field]:
            sentence.fault = sentence.fault or "word without a tag"
            continue
        sentence.words.append(fields[text_field])
        sentence.tags.append(fields[tag_field].strip())
    if sentence is not None:
        yield sentence


def join_words(words: Sequence[str], how: str, text: str | None = None) -> tuple[str, list[int]]:
    """Put words together.

    Example: `join_words(["在", "New", "York", "住"], "auto")` -> `("在New York住", [0, 1, 5, 9])`.

    Args:
        words: of one sentence.
        how: `auto`, `space` or `none`, see `TaskSource.join_words`.
        text: the sentence as it was written; used where it holds the words one after the other.

    Returns:
        The text, and the first character of each word.
    """
    starts: list[int] = []
    if text is not None:
        at = 0
        for word in words:
            at += len(text) - at - len(text[at:].lstrip())
            if not text.startswith(word, at):
                break
            starts.append(at)
            at += len(word)
        if len(starts) == len(words) and not text[at:].strip():
            return text, starts
    pieces: list[str] = []
    starts, at, before = [], 0, ""
    for word in words:
        if before and (how == "space" or (how == "auto" and _needs_space(before, word))):
            pieces.append(" ")
            at += 1
        starts.append(at)
        pieces.append(word)
        at += len(word)
        before = word
    return "".join(pieces), starts


def _needs_space(before: str, word: str) -> bool:
    return len(before) + len(word) > 2 and _is_latin(before[-1]) and _is_latin(word[0])


def _is_latin(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"


def entities_of_tags(tags: Sequence[str], has_ends: bool) -> tuple[list[tuple[int, int, str]], bool]:
    """Find the entities that tags of any scheme mark.

    Example: `entities_of_tags(["B-PER", "E-PER", "O", "S-LOC"], True)` -> `([(0, 2, "PER"), (3, 4, "LOC")], False)`;
    `entities_of_tags(["O", "I-PER"], False)` -> `([(1, 2, "PER")], True)`.

    Args:
        tags: of one sentence.
        has_ends: whether the file marks the ends of entities, so that one without an end is out of balance.

    Returns:
        (first word, one past the last, type) of each, and whether the tags were out of balance.
    """
    found: list[tuple[int, int, str]] = []
    begin, kind, mended = -1, "", False

    def close(end: int, is_marked: bool) -> None:
        nonlocal begin, mended
        if begin >= 0:
            found.append((begin, end, kind))
            mended = mended or (has_ends and not is_marked)
        begin = -1

    for index, tag in enumerate(tags):
        if tag in ("O", "_", ""):
            close(index, False)
            continue
        match = _TAG.match(tag)
        place, label = (match[1], match[2]) if match else ("I", tag)
        if begin < 0 or label != kind or place in _BEGINS + _SINGLE:
            close(index, False)
            # Where no B is needed (a bare type, an entity of one word) nothing is out of balance.
            mended = mended or (match is not None and place in _GOES_ON + _ENDS)
            begin, kind = index, label
        if place in _ENDS + _SINGLE:
            close(index + 1, True)
    close(len(tags), False)
    return found, mended


def marks_ends(tags: Iterable[str]) -> bool:
    """Say whether a file's tags mark the ends of entities."""
    return any(tag[:2] in ("E-", "E_", "L-", "L_", "S-", "S_", "U-", "U_", "W-", "W_") for tag in tags)


def spans_of_sentence(sentence: Sentence, how: str, has_ends: bool) -> tuple[str, list[Span], bool]:
    """Return a sentence's text, its entities by characters, and whether its tags were out of balance."""
    text, starts = join_words(sentence.words, how, sentence.text)
    found, mended = entities_of_tags(sentence.tags, has_ends)
    ends = [start + len(word) for start, word in zip(starts, sentence.words, strict=True)]
    return text, [(starts[first], ends[last - 1], kind) for first, last, kind in found], mended
