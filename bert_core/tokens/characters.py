"""What a BERT tokenizer makes of each Unicode code point: dropped, a space, a token by itself, or part of a word.

The tokenizers library's own normaliser and pre-tokenizer are asked once about every code point, so this table is
right by construction for the installed version, and is kept in a cache folder under that version. It holds no
vocabulary. One context matters: where accents are stripped the library reorders neighbouring combining marks (NFD), so
a mark that survives the stripping is CONTEXT, and text with one must be left to the library.

Source: tokenizers' BertNormalizer and BertPreTokenizer; Unicode Standard Annex 15 for canonical ordering.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bert_core.store.kept_tables import kept_tables
from bert_core.tokens.vocabulary_files import library_stages

NUM_CODE_POINTS = 0x110000
DROP, SPACE, ISOLATED, WORD, SEVERAL, CONTEXT = range(6)
"""Kinds of code point. ISOLATED: a token of its own (punctuation, Han). SEVERAL: becomes several characters."""

HAN_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""What BERT takes for a Chinese character (`_is_chinese_char` of google-research/bert)."""

_BATCH = 1 << 16
_SEPARATOR = "|"


@dataclass(frozen=True)
class CharacterTable:
    """The kind of every code point and the character that it becomes."""

    kinds: np.ndarray
    """uint8 (NUM_CODE_POINTS,)."""
    characters: np.ndarray
    """uint32 (NUM_CODE_POINTS,): the normalised character; for SEVERAL its row in `several_offsets`."""
    several_offsets: np.ndarray
    """int32 (num_several + 1,)."""
    several_kinds: np.ndarray
    """uint8: SPACE, ISOLATED or WORD of each character that a SEVERAL code point becomes."""
    several_characters: np.ndarray
    """uint32, beside several_kinds."""

    def characters_of(self, kind: int) -> np.ndarray:
        """Return bool (NUM_CODE_POINTS,): the normalised characters that occur as `kind`."""
        found = np.zeros(NUM_CODE_POINTS, bool)
        found[self.characters[self.kinds == kind]] = True
        found[self.several_characters[self.several_kinds == kind]] = True
        return found

    def tokens_per_byte(self) -> int:
        """Return the most tokens that one byte of UTF-8 can give; 1 for every version seen so far."""
        code_points = np.flatnonzero(self.kinds == SEVERAL)
        if not len(code_points):
            return 1
        num_bytes = 1 + (code_points > 0x7F) + (code_points > 0x7FF) + (code_points > 0xFFFF)
        num_characters = np.diff(self.several_offsets)[self.characters[code_points]]
        return int(np.max(-(-num_characters // num_bytes)))


def load_characters(lowercase: bool, strip_accents: bool | None = None) -> CharacterTable:
    """Return the table for the installed tokenizers library, from the cache folder where it lies there whole.

    Args:
        lowercase: whether letters are folded.
        strip_accents: whether accents are stripped; None to do as `lowercase` says.
    """
    from tokenizers import __version__ as version

    strips = lowercase if strip_accents is None else strip_accents
    name = f"characters-{'lower' if lowercase else 'cased'}-{'plain' if strips else 'accents'}"
    source = Path(__file__).read_text(encoding="utf-8")
    return CharacterTable(**kept_tables(name, f"{version} {source}", lambda: vars(ask_library(lowercase, strips))))


def is_han(code_points: np.ndarray) -> np.ndarray:
    """Say which code points are Chinese characters, bool, same shape."""
    found = np.zeros(code_points.shape, bool)
    for first, last in HAN_RANGES:
        found |= (code_points >= first) & (code_points <= last)
    return found


def text_of(code_points: np.ndarray) -> str:
    """Join code points to text."""
    return code_points.astype("<u4").tobytes().decode("utf-32-le")


def code_points_of(text: str) -> np.ndarray:
    """Return the code points of a text, uint32 (num_characters,)."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint32, copy=False)


def ask_library(lowercase: bool, strip_accents: bool) -> CharacterTable:
    """Ask the library about every code point; one to two seconds."""
    lengths, flat = _normalise_all(lowercase, strip_accents)
    distinct, index = np.unique(flat, return_inverse=True)
    distinct_kinds = _pre_tokenize(distinct)
    if strip_accents:  # only then does the library bring text into NFD, which orders marks
        distinct_kinds[_has_combining_class(distinct)] = CONTEXT
    flat_kinds = distinct_kinds[index]

    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    first = np.minimum(starts, max(len(flat) - 1, 0))
    kinds = np.full(NUM_CODE_POINTS, DROP, np.uint8)
    characters = np.zeros(NUM_CODE_POINTS, np.uint32)
    one = lengths == 1
    kinds[one], characters[one] = flat_kinds[first[one]], flat[first[one]]
    # " 汉 ": the library isolates Han characters by spaces around them
    three = np.flatnonzero(lengths == 3)
    middle = starts[three] + 1
    spaced = (flat_kinds[middle - 1] == SPACE) & (flat_kinds[middle + 1] == SPACE)
    spaced &= (flat_kinds[middle] == WORD) | (flat_kinds[middle] == ISOLATED)
    kinds[three[spaced]], characters[three[spaced]] = ISOLATED, flat[middle[spaced]]

    owner = np.repeat(np.arange(NUM_CODE_POINTS), lengths)
    kinds[owner[flat_kinds == CONTEXT]] = CONTEXT
    several = (lengths > 1) & (kinds == DROP)  # those without a kind so far
    rows = np.flatnonzero(several)
    kinds[rows] = SEVERAL
    characters[rows] = np.arange(len(rows))
    in_several = several[owner]
    return CharacterTable(
        kinds,
        characters,
        np.concatenate([[0], np.cumsum(lengths[rows])]).astype(np.int32),
        flat_kinds[in_several],
        flat[in_several],
    )


def _normalise_all(lowercase: bool, strip_accents: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return how many characters each code point becomes, int64, and these characters one after the other, uint32."""
    normalizer, _ = library_stages(lowercase, strip_accents)
    separator = ord(_SEPARATOR)
    lengths = np.zeros(NUM_CODE_POINTS, np.int64)
    parts: list[np.ndarray] = []
    for begin in range(0, NUM_CODE_POINTS, _BATCH):
        code_points = np.arange(begin, begin + _BATCH, dtype=np.uint32)
        code_points = code_points[(code_points < 0xD800) | (code_points > 0xDFFF)]  # text has no surrogates
        asked = np.full(2 * len(code_points), separator, np.uint32)
        asked[::2] = code_points
        answer = code_points_of(normalizer.normalize_str(text_of(asked)))
        is_separator = answer == separator
        borders = np.flatnonzero(is_separator)
        if begin <= separator < begin + _BATCH:  # its own answer is not a border
            borders = np.delete(borders, separator - begin)
            is_separator[borders[separator - begin] - 1] = False
        lengths[code_points] = np.diff(borders, prepend=-1) - 1
        parts.append(answer[~is_separator])
    return lengths, np.concatenate(parts)


def _pre_tokenize(characters: np.ndarray) -> np.ndarray:
    """Return SPACE, ISOLATED or WORD for each normalised character, uint8."""
    _, pre_tokenizer = library_stages(True)
    asked = np.full((len(characters), 2), ord("a"), np.uint32)  # "?a?a?a": a word character joins its neighbours
    asked[:, 0] = characters
    kinds = np.full(len(characters), SPACE, np.uint8)
    for _, (start, stop) in pre_tokenizer.pre_tokenize_str(text_of(asked.ravel())):
        if stop - start > 1:
            kinds[(start + 1) // 2 : (stop + 1) // 2] = WORD
        elif start % 2 == 0:
            kinds[start // 2] = ISOLATED
    return kinds


def _has_combining_class(characters: np.ndarray) -> np.ndarray:
    """Return bool: characters that canonical ordering can move, found by letting the library order them."""
    from tokenizers import normalizers

    overlay, iota = 0x0334, 0x0345  # the marks of lowest and highest combining class, 1 and 240
    asked = np.full((len(characters), 4), ord(_SEPARATOR), np.uint32)  # iota and overlay change places around a mark
    asked[:, 0], asked[:, 1], asked[:, 2] = iota, characters, overlay
    answer = code_points_of(normalizers.NFD().normalize_str(text_of(asked.ravel())))
    return (answer.reshape(-1, 4) != asked).any(axis=1)
