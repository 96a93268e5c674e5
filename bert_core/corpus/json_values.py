"""The JSON objects of a whole file, however they stand in it: one a line, printed over several lines, in one array.

Many labelled sets named `.json` are no JSON document but objects one after the other, some a line each, some indented.
All three shapes are read alike and as strictly as `json_lines.py` reads a line. What cannot be read is one fault, and
reading goes on at the next line that begins an object with the same indentation. The file is held in memory, as
labelled sets are; corpora are read in pieces (`readers.py`).
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_core.corpus.decode import Line
from bert_core.corpus.json_lines import json_kind, strict_decoder

_SPACE = re.compile(r"[\s\ufeff]*")
_EXCERPT_CHARACTERS = 200


@dataclass(slots=True)
class Value:
    """One object of a file, or a fault."""

    line: int
    """Line on which it begins, from 1."""
    byte_offset: int
    """First byte of that line in the (decompressed) file."""
    values: dict[str, Any] | None
    """The object; None where there is a fault."""
    fault: str = ""
    """`code: detail`."""
    excerpt: str = ""
    """Beginning of what could not be read."""


class JsonText:
    """A file's lines as one text, with the way back from characters to lines."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.unreadable: list[Line] = []
        self._lines: list[Line] = []
        texts: list[str] = []
        for line in lines:
            if line.text is None:
                self.unreadable.append(line)
            texts.append(line.text or "")
            self._lines.append(line)
        self.text = "\n".join(texts)
        self._starts = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]])

    def line_at(self, position: int) -> Line:
        """Return the line that holds a character."""
        return self._lines[int(np.searchsorted(self._starts, position, side="right")) - 1]

    def objects(self) -> Iterator[Value]:
        """Yield every object of the file; the elements where it is one array."""
        for line in self.unreadable:
            yield Value(line.number, line.byte_offset, None, f"undecodable: {line.fault}", line.excerpt)
        text, decode = self.text, strict_decoder().raw_decode
        at = _behind_space(text, 0)
        in_array = text.startswith("[", at)
        at = _behind_space(text, at + 1) if in_array else at
        while at < len(text) and not (in_array and text[at] == "]"):
            begin = at
            try:
                value, at = decode(text, at)
                at = _behind_space(text, at)
                if in_array and text.startswith(",", at):
                    at = _behind_space(text, at + 1)
            except json.JSONDecodeError as error:
                fault = f"invalid_json: {error.msg} at line {self.line_at(error.pos).number}" + (
                    "; is the file cut off?" if error.pos >= len(text) or error.msg.startswith("Unterminated") else ""
                )
            except RecursionError:
                fault = "invalid_json: nested too deeply"
            except ValueError as error:  # refused by the strict decoder
                fault = f"invalid_json: {error}"
            else:
                yield self._found(begin, value)
                continue
            at = _next_object(text, begin)
            yield self._fault(begin, fault)

    def _found(self, begin: int, value: Any) -> Value:
        if not isinstance(value, dict):
            return self._fault(begin, f"not_an_object: {json_kind(value)}, expected an object")
        line = self.line_at(begin)
        return Value(line.number, line.byte_offset, value)

    def _fault(self, begin: int, fault: str) -> Value:
        line = self.line_at(begin)
        return Value(line.number, line.byte_offset, None, fault, self.text[begin : begin + _EXCERPT_CHARACTERS])


def _behind_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _next_object(text: str, begin: int) -> int:
    """Return where the next object begins: after a line break, with the indentation of the one that begins here."""
    line_start = text.rfind("\n", 0, begin) + 1
    indentation = text[line_start:begin]
    indentation = indentation if indentation.isspace() else ""
    match = re.compile(rf"\n{indentation}(?=\{{)").search(text, begin)
    return len(text) if match is None else match.end()
