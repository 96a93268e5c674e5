"""Running text to documents: how many lines belong together, for formats in which a document is several lines.

- txt_blank_line: lines up to a blank one; txt_file, markdown: all lines of a file.
- tagged_words: paragraphs put together into articles, see `articles.py`.

Memory is bounded whatever the file is: a document of more than `MAX_DOCUMENT_CHARACTERS` is handed on in several
pieces, each with `long_document` among its repairs, cut between lines (a line that is too long comes cut at sentence
ends).
"""

from collections.abc import Callable, Iterator

from bert_core.corpus.articles import group_paragraphs, plain_text
from bert_core.corpus.decode import Line
from bert_core.corpus.raw_record import RawRecord, fault_at, fault_of

MAX_DOCUMENT_CHARACTERS = 8 << 20
_PARAGRAPHS_AT_ONCE = 4096


def read_blank_line(lines: Iterator[Line]) -> Iterator[RawRecord]:
    """Read documents that blank lines separate."""
    document = _Gathering()
    for line in lines:
        if line.text is None:
            yield document.lose(line)
        elif line.text and not line.text.isspace():
            yield from document.add(line, line.text)
        else:
            yield from document.finished()
    yield from document.finished()


def read_whole(lines: Iterator[Line], reduce: Callable[[str], str]) -> Iterator[RawRecord]:
    """Read a file as one document; `reduce` makes plain text of it."""
    document = _Gathering(reduce)
    for line in lines:
        if line.text is None:
            yield document.lose(line)
        else:
            yield from document.add(line, line.text)
    yield from document.finished()


def read_tagged(lines: Iterator[Line]) -> Iterator[RawRecord]:
    """Read tagged paragraphs, put together into articles as they come."""
    waiting: list[tuple[Line, str]] = []
    enough, num_characters = _PARAGRAPHS_AT_ONCE, 0
    for line in lines:
        if line.text is None:
            yield fault_at(line, fault_of(line))
            continue
        waiting.append((line, plain_text(line.text)))
        num_characters += len(line.text)
        if num_characters > MAX_DOCUMENT_CHARACTERS:
            yield from _articles(waiting)
            waiting, enough, num_characters = [], _PARAGRAPHS_AT_ONCE, 0
        elif len(waiting) >= enough:
            numbers = group_paragraphs([text for _, text in waiting])
            num_whole = int((numbers < numbers[-1]).sum())  # the last article may go on
            yield from _articles(waiting[:num_whole])
            waiting = waiting[num_whole:]
            enough = len(waiting) + _PARAGRAPHS_AT_ONCE
            num_characters = sum(len(line.text or "") for line, _ in waiting)
    yield from _articles(waiting)


def _articles(paragraphs: list[tuple[Line, str]]) -> Iterator[RawRecord]:
    numbers = group_paragraphs([text for _, text in paragraphs]).tolist()
    document = _Gathering()
    for index, (line, text) in enumerate(paragraphs):
        if index and numbers[index] != numbers[index - 1]:
            yield from document.finished()
        if text:
            yield from document.add(line, text)
    yield from document.finished()


class _Gathering:
    """A document that grows line by line."""

    def __init__(self, reduce: Callable[[str], str] = str) -> None:
        self.reduce = reduce
        self._begin()

    def _begin(self) -> None:
        self.first: Line | None = None
        self.texts: list[str] = []
        self.num_characters = 0
        self.repairs: dict[str, None] = {}  # a set that keeps its order

    def add(self, line: Line, text: str) -> Iterator[RawRecord]:
        """Take a line on; yield what was gathered before where both together would be too long."""
        if self.num_characters + len(text) > MAX_DOCUMENT_CHARACTERS and self.num_characters:
            self.repairs["long_document"] = None
            yield from self.finished()
            self.repairs["long_document"] = None
        if self.first is None:
            self.first = line
        elif line.encoding != self.first.encoding:
            self.repairs["mixed_encoding"] = None
        if line.fault:
            self.repairs["long_line"] = None
        self.texts.append(text)
        self.num_characters += len(text) + 1

    def lose(self, line: Line) -> RawRecord:
        """Note that a line of the document cannot be read, and return its fault."""
        self.repairs["lost_line"] = None
        return fault_at(line, fault_of(line))

    def finished(self) -> Iterator[RawRecord]:
        """Yield the document, if it has anything but space, and begin a new one."""
        joined = "\n".join(self.texts)
        if self.first is not None and joined and not joined.isspace():
            first = self.first
            repairs = list(self.repairs)
            yield RawRecord(self.reduce(joined), first.number, first.byte_offset, first.encoding, repairs=repairs)
        self._begin()
