r"""Bytes to lines of text: which encoding, where lines end, and what to do with bytes that are not text.

Encodings are found by a ladder: byte order mark, then strict UTF-8, then whichever of GB18030, Big5 and
UTF-16 gives the largest share of common Chinese characters, and charset-normalizer only where none of
them does. The common characters need no list: level 1 of GB 2312 (3,755 characters, rows 16 to 55) and
level 1 of Big5 (5,401 characters, 0xA440 to 0xC67E) were laid out by their makers as the most used ones,
and Python's codecs enumerate them.

Lines end at the byte b"\n" (or its UTF-16 form) and nowhere else, because `str.splitlines` also cuts at
U+2028, U+0085 and form feeds that may stand inside a JSON string. Nothing is ever decoded with
`errors="ignore"`.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bert_core.corpus.streams import is_compressed, read_blocks, read_head
from bert_core.errors import CorpusError

MAX_LINE_BYTES = 16 << 20
SAMPLE_BYTES = 64 << 10

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CANDIDATES = ("gb18030", "big5", "cp950", "utf-16-le", "utf-16-be")
_SURE_SHARE = 0.6  # a lower share of common characters is not Chinese text in that encoding
_SENTENCE_MARKS = "。！？；\n"


@dataclass(slots=True)
class Line:
    """One line of a raw file."""

    number: int
    """Line in the file, from 1."""
    byte_offset: int
    """First byte of the line in the (decompressed) file."""
    text: str | None
    """Decoded, without its line end; None where no encoding decodes it."""
    encoding: str
    """Codec that decoded it, or that failed to."""
    fault: str | None
    """Why the text is missing; or, beside a text, why it is only a part of a line."""
    excerpt: str = ""
    """First 200 bytes with all but printable ASCII escaped, where the text is missing."""


def detect_encoding(sample: bytes) -> str:
    """Say in which encoding a sample of text is.

    Example: `detect_encoding("今天天气很好".encode("gb18030")) == "gb18030"`.

    Args:
        sample: bytes from the start of a character on; the last character may be cut.

    Returns:
        A Python codec name; GBK and GB 2312 are told as their superset gb18030, and a byte order mark is
        not part of the name. `utf-8` where nothing fits.
    """
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding
    has_nul = b"\x00" in sample
    if not has_nul and _decode(sample, "utf-8") is not None:
        return "utf-8"
    shares = {encoding: common_share(_decode(sample, encoding)) for encoding in _CANDIDATES}
    best = max(_CANDIDATES, key=lambda encoding: shares[encoding])  # the first of equals
    if shares[best] >= _SURE_SHARE:
        return "big5" if best == "cp950" and shares["big5"] == shares["cp950"] else best
    if has_nul and _decode(sample, "utf-8") is not None:
        return "utf-8"
    return _detect_by_statistics(sample)


def common_share(text: str | None) -> float:
    """Return the share of common Chinese characters among the non-ASCII ones, 0 to 1.

    Control characters count against it, ASCII counts neither way; 1.0 for plain ASCII, 0.0 for None.
    """
    if text is None:
        return 0.0
    codes = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    values = _character_values()[codes]
    num_bad, num_common = int((values == 0).sum()), int((values == 2).sum())
    return num_common / (num_bad + num_common) if num_bad + num_common else 1.0


def read_lines(
    path: Path, encoding: str = "auto", start: int = 0, num_bytes: int | None = None, first_number: int = 1
) -> Iterator[Line]:
    """Read the lines of a file, or of one range of it that begins at a line start, in bounded memory.

    A line that its file's encoding does not decode is tried by itself, so a file of mixed encodings
    loses only the lines that no encoding decodes. A line longer than 16 MiB comes in several parts, cut
    at sentence ends.

    Args:
        path: a plain, gzip or zstd file.
        encoding: `auto`, or a codec name that every line must then be in.
        start: first byte, bytes; 0 for compressed files.
        num_bytes: length of the range, bytes; None for all the rest.
        first_number: number of the line at `start`.

    Yields:
        Lines in order, without line ends (CR before LF included) and without a byte order mark.

    Raises:
        CorpusError: the codec is unknown, or the file cannot be read (see `read_blocks`).
    """
    if encoding == "auto":
        file_encoding, is_fixed = encoding_of_file(path, start, num_bytes), False
    else:
        file_encoding, is_fixed = _codec_name(encoding), True
        if file_encoding in ("utf-16", "utf-32"):  # the byte order stands in the mark, little-endian without one
            marked = detect_encoding(_samples(path, start, num_bytes)[0])
            file_encoding = marked if marked.startswith(file_encoding) else f"{file_encoding}-le"
    for number, offset, raw, is_part in _split_lines(
        read_blocks(path, start, num_bytes), file_encoding, start, first_number
    ):
        text, line_encoding = _decode_line(raw, file_encoding, is_fixed)
        if text is None:
            fault = f"not valid {file_encoding}" + ("" if is_fixed else " nor any other encoding")
        else:
            fault = f"line longer than {MAX_LINE_BYTES >> 20} MiB, split" if is_part else None
        yield Line(number, offset, text, line_encoding, fault, "" if text is not None else repr(raw[:200])[2:-1])


def encoding_of_file(path: Path, start: int = 0, num_bytes: int | None = None) -> str:
    """Detect the encoding of a file, or of one range of it, from samples of its head, middle and tail.

    A file whose lines are mostly UTF-8 is UTF-8 even where some lines are not.
    """
    samples = _samples(path, start, num_bytes)
    whole = b"".join(samples)
    if whole.startswith(tuple(bom for bom, _ in _BOMS)) or _decode(whole, "utf-8") is not None:
        return detect_encoding(whole)
    lines = [line for line in whole.split(b"\n") if not line.isascii()]
    num_utf8 = sum(_decode_strict(line, "utf-8") is not None for line in lines)
    if 2 * num_utf8 >= len(lines) > 1:
        return "utf-8"
    return detect_encoding(whole)


@cache
def _character_values() -> np.ndarray:
    """Per UTF-16 code unit: 2 common in Chinese text, 1 neither way (ASCII), 0 not expected."""
    values = np.zeros(1 << 16, np.uint8)
    values[0x20:0x7F] = 1
    values[[0x09, 0x0A, 0x0D]] = 1
    gb_level_1 = bytes(byte for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF) for byte in (row, cell))
    big5_level_1 = bytes(
        byte
        for lead in range(0xA4, 0xC7)
        for trail in (*range(0x40, 0x7F), *range(0xA1, 0xFF))
        for byte in (lead, trail)
        if (lead, trail) <= (0xC6, 0x7E)
    )
    for text in (
        gb_level_1.decode("gb2312", "ignore"),  # the last row of level 1 has five empty cells
        big5_level_1.decode("big5", "ignore"),
        "　、。〈〉《》「」『』【】〔〕・·—…‘’“”℃×",
    ):
        values[np.frombuffer(text.encode("utf-16-le"), np.uint16)] = 2
    values[0xFF01:0xFF5F] = 2  # full-width forms of ASCII
    return values


def _decode(sample: bytes, encoding: str) -> str | None:
    """Decode but for a character that is cut off at the end; that one shows as U+FFFD.

    Strictly, but for UTF-16, where a lone surrogate spoils one line and no line can be told without the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding.startswith("utf-16") else "strict")
    try:
        text = decoder.decode(sample, final=False)
    except UnicodeDecodeError:
        return None
    return text + "\ufffd" if decoder.getstate()[0] else text


def _decode_strict(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decode_line(raw: bytes, file_encoding: str, is_fixed: bool) -> tuple[str | None, str]:
    """Decode one line in its file's encoding, or else in the one that fits it better."""
    text = _decode_strict(raw, file_encoding)
    if is_fixed or (text is not None and (file_encoding.startswith("utf-") or raw.isascii())):
        return text, file_encoding
    # Bytes of UTF-8 often pass as GB 18030 or Big5, but seldom as common characters, and the other way round.
    others = ["utf-8", "gb18030", "big5"] if text is None else ["utf-8"]
    best, best_encoding, best_share = text, file_encoding, common_share(text)
    for encoding in others:
        other = _decode_strict(raw, encoding)
        share = common_share(other)
        if share >= _SURE_SHARE and (share > best_share or (share == best_share and encoding == "utf-8")):
            best, best_encoding, best_share = other, encoding, share
    return best, best_encoding


def _detect_by_statistics(sample: bytes) -> str:
    """Ask charset-normalizer, for text that is in none of the Chinese encodings."""
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:SAMPLE_BYTES]).best()
    return "utf-8" if best is None else _codec_name(best.encoding)


def _codec_name(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise CorpusError(
            f"encoding {encoding!r}: no such codec; expected auto or a name such as utf-8, gb18030, utf-16-le"
        ) from None
    return {"utf-8-sig": "utf-8", "ascii": "utf-8", "gbk": "gb18030", "gb2312": "gb18030"}.get(name, name)


def _samples(path: Path, start: int, num_bytes: int | None) -> list[bytes]:
    """Return whole lines (as far as there are any) from the head, the middle and the tail of a range."""
    head_blocks = read_blocks(path) if is_compressed(read_head(path)) else None
    if head_blocks is not None:
        return [next(head_blocks, b"")[: 4 * SAMPLE_BYTES]]
    size = path.stat().st_size - start if num_bytes is None else num_bytes
    if size <= 4 * SAMPLE_BYTES:
        return [b"".join(read_blocks(path, start, num_bytes))]
    samples = [b"".join(read_blocks(path, start, SAMPLE_BYTES))]
    if len(_newline_of(detect_encoding(samples[0]))) > 1:
        return samples  # two-byte units: windows further on could begin inside one
    for middle in (start + size // 2, start + size - SAMPLE_BYTES):
        window = b"".join(read_blocks(path, middle, SAMPLE_BYTES))
        first, last = window.find(b"\n") + 1, window.rfind(b"\n") + 1
        if 0 < first < last:
            samples.append(window[first:last])
    last = samples[0].rfind(b"\n") + 1
    samples[0] = samples[0][:last] if last else samples[0]
    return samples if last else samples[:1]


def _newline_of(encoding: str) -> bytes:
    return "\n".encode(encoding)


def _split_lines(
    blocks: Iterator[bytes], encoding: str, start: int, first_number: int
) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield (number, byte offset, bytes without line end, is a part of a longer line)."""
    newline, carriage_return = _newline_of(encoding), "\r".encode(encoding)
    width = len(newline)
    number, offset, rest = first_number, start, b""
    is_part = False
    bom = next((bom for bom, name in _BOMS if name == encoding), b"")
    for block in blocks:
        if offset == start == 0 and not rest and bom and block.startswith(bom):
            block, offset = block[len(bom) :], len(bom)
        pieces = _split_aligned(rest + block, newline) if width > 1 else (rest + block).split(newline)
        rest = pieces.pop()
        for piece in pieces:
            yield number, offset, piece.removesuffix(carriage_return), is_part
            number, offset, is_part = number + 1, offset + len(piece) + width, False
        while len(rest) > MAX_LINE_BYTES:
            cut = _cut_position(rest[:MAX_LINE_BYTES], encoding)
            yield number, offset, rest[:cut], True
            rest, offset, is_part = rest[cut:], offset + cut, True
    if rest:
        yield number, offset, rest.removesuffix(carriage_return), is_part


def _split_aligned(data: bytes, newline: bytes) -> list[bytes]:
    """Split at newlines of two or four bytes, looking only at whole units."""
    units = np.frombuffer(data[: len(data) // len(newline) * len(newline)], f"V{len(newline)}")
    ends = np.flatnonzero(units == np.frombuffer(newline, units.dtype)[0]) * len(newline)
    starts = [0, *(int(end) + len(newline) for end in ends)]
    return [data[begin : int(end)] for begin, end in zip(starts, [*ends, len(data)], strict=True)]


def _cut_position(raw: bytes, encoding: str) -> int:
    """Find where to cut a too long line: after its last sentence mark, else at the last whole character."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(raw, final=False)
    best = max(text.rfind(mark) for mark in _SENTENCE_MARKS) + 1
    if best > len(text) // 2:
        cut = len(text[:best].encode(encoding, "replace"))
        if raw[:cut].decode(encoding, "replace") == text[:best]:
            return cut
    return len(raw) - len(decoder.getstate()[0])
