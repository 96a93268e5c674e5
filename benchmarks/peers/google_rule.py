"""google-research/bert's create_pretraining_data.py, its rule re-stated (the original needs TensorFlow 1).

One process, pure Python as there: its tokenization, its pairs (a short chunk is always random, the tenth try
may be the same document), static masking (15 %, 20 at most), padding to 128, one serialised `tf.train.Example`
a record in a TFRecord file. The messages are written by the compiled protobuf library, as TensorFlow does; the
checksum is zlib's crc32 in place of crc32c. dupe_factor is 1. Nothing is made faster or slower on purpose.

Source: google-research/bert create_pretraining_data.py and tokenization.py (Apache-2.0); algorithm re-stated,
no code taken.
"""

import random
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.measure import clock

MAX_TOKENS = 128
MAX_PREDICTIONS = 20
_SHORT_PROB = 0.1
_MAX_WORD_CHARACTERS = 200
_HAN = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def build(sentences: str, vocabulary: str, output: str) -> dict[str, Any]:
    """Turn sentences (one a line, documents apart by an empty line) into a TFRecord file.

    Returns:
        seconds, cpu_seconds, examples, tokens (without padding), bytes (of the file).
    """
    example_type = _example_type()
    with clock() as taken:
        entries = Path(vocabulary).read_text(encoding="utf-8").split("\n")[:-1]
        ids = {entry: index for index, entry in enumerate(entries)}
        rng = random.Random(12345)
        documents = _read(Path(sentences), ids)
        rng.shuffle(documents)
        instances = [pair for index in range(len(documents)) for pair in _pairs(documents, index, rng)]
        instances = [_masked(*pair, entries, rng) for pair in instances]
        rng.shuffle(instances)
        num_tokens = 0
        with Path(output).open("wb") as opened:
            for instance in instances:
                num_tokens += len(instance[0])
                _write_record(opened, _serialised(example_type, ids, *instance))
    return {
        "seconds": taken.seconds,
        "cpu_seconds": taken.cpu_seconds,
        "examples": len(instances),
        "tokens": num_tokens,
        "bytes": Path(output).stat().st_size,
    }


def tokenize(text: str, ids: dict[str, int]) -> list[str]:
    """Cut text as google-research's FullTokenizer does, letters folded."""
    return [piece for word in _words(text) for piece in _pieces(word, ids)]


def _read(path: Path, ids: dict[str, int]) -> list[list[list[str]]]:
    documents: list[list[list[str]]] = [[]]
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            stripped = line.strip()
            if not stripped:
                documents.append([])
            elif tokens := tokenize(stripped, ids):
                documents[-1].append(tokens)
    return [document for document in documents if document]


def _words(text: str) -> Iterator[str]:
    cleaned = []
    for character in text:
        code = ord(character)
        if code in (0, 0xFFFD) or _is_control(character):
            continue
        if _is_space(character):
            cleaned.append(" ")
        elif any(first <= code <= last for first, last in _HAN):
            cleaned.append(f" {character} ")
        else:
            cleaned.append(character)
    for token in "".join(cleaned).split():
        folded = unicodedata.normalize("NFD", token.lower())
        word: list[str] = []
        for character in folded:
            if unicodedata.category(character) == "Mn":
                continue
            if _is_punctuation(character):
                if word:
                    yield "".join(word)
                    word = []
                yield character
            else:
                word.append(character)
        if word:
            yield "".join(word)


def _pieces(word: str, ids: dict[str, int]) -> list[str]:
    if len(word) > _MAX_WORD_CHARACTERS:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        end, found = len(word), None
        while start < end:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in ids:
                found = piece
                break
            end -= 1
        if found is None:
            return ["[UNK]"]
        pieces.append(found)
        start = end
    return pieces


def _is_control(character: str) -> bool:
    return character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Cf")


def _is_space(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(character).startswith("P")


def _pairs(
    documents: list[list[list[str]]], index: int, rng: random.Random
) -> Iterator[tuple[list[str], list[str], bool]]:
    document, longest = documents[index], MAX_TOKENS - 3
    target = rng.randint(2, longest) if rng.random() < _SHORT_PROB else longest
    chunk: list[list[str]] = []
    place = length = 0
    while place < len(document):
        chunk.append(document[place])
        length += len(document[place])
        if place == len(document) - 1 or length >= target:
            num_a = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            tokens_a = [token for sentence in chunk[:num_a] for token in sentence]
            is_random = len(chunk) == 1 or rng.random() < 0.5
            tokens_b: list[str] = []
            if is_random:
                other = 0
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                first = rng.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][first:]:
                    tokens_b.extend(sentence)
                    if len(tokens_b) >= target - len(tokens_a):
                        break
                place -= len(chunk) - num_a
            else:
                tokens_b = [token for sentence in chunk[num_a:] for token in sentence]
            _truncate(tokens_a, tokens_b, longest, rng)
            yield tokens_a, tokens_b, is_random
            chunk, length = [], 0
        place += 1


def _truncate(tokens_a: list[str], tokens_b: list[str], longest: int, rng: random.Random) -> None:
    while len(tokens_a) + len(tokens_b) > longest:
        cut = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        if rng.random() < 0.5:
            del cut[0]
        else:
            cut.pop()


def _masked(
    tokens_a: list[str], tokens_b: list[str], is_random: bool, entries: list[str], rng: random.Random
) -> tuple[list[str], int, list[int], list[str], bool]:
    tokens = ["[CLS]", *tokens_a, "[SEP]", *tokens_b, "[SEP]"]
    candidates = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    rng.shuffle(candidates)
    shown = list(tokens)
    num_targets = min(MAX_PREDICTIONS, max(1, round(len(tokens) * 0.15)))
    positions = sorted(candidates[:num_targets])
    for place in positions:
        if rng.random() < 0.8:
            shown[place] = "[MASK]"
        elif rng.random() >= 0.5:
            shown[place] = entries[rng.randint(0, len(entries) - 1)]
    return shown, len(tokens_a) + 2, positions, [tokens[place] for place in positions], is_random


def _serialised(
    example_type: Any, ids: dict[str, int], tokens: list[str], length_a: int, positions: list[int], labels: list[str],
    is_random: bool,
) -> bytes:  # fmt: skip
    padding, no_target = [0] * (MAX_TOKENS - len(tokens)), [0] * (MAX_PREDICTIONS - len(positions))
    example = example_type()
    feature = example.features.feature
    feature["input_ids"].int64_list.value.extend([ids[token] for token in tokens] + padding)
    feature["input_mask"].int64_list.value.extend([1] * len(tokens) + padding)
    segments = [0] * length_a + [1] * (len(tokens) - length_a)
    feature["segment_ids"].int64_list.value.extend(segments + padding)
    feature["masked_lm_positions"].int64_list.value.extend(positions + no_target)
    feature["masked_lm_ids"].int64_list.value.extend([ids[label] for label in labels] + no_target)
    feature["masked_lm_weights"].float_list.value.extend([1.0] * len(positions) + [0.0] * len(no_target))
    feature["next_sentence_labels"].int64_list.value.append(int(is_random))
    return example.SerializeToString()


def _write_record(opened: BinaryIO, record: bytes) -> None:
    """One TFRecord: length, its checksum, the record, its checksum."""
    length = struct.pack("<Q", len(record))
    opened.write(length + struct.pack("<I", _checksum(length)) + record + struct.pack("<I", _checksum(record)))


def _checksum(data: bytes) -> int:
    crc = zlib.crc32(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _example_type() -> Any:
    """The message `tf.train.Example`, described to the protobuf library as TensorFlow's example.proto describes it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, Any, bool, str], parent: Any = None) -> Any:
        added = parent.nested_type.add() if parent is not None else file.message_type.add()
        added.name = name
        for label, number, kind, repeated, of in fields:
            added.field.add(
                name=label,
                number=number,
                type=kind,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
                type_name=of or None,
            )
        return added

    message("Int64List", ("value", 1, kinds.TYPE_INT64, True, ""))
    message("FloatList", ("value", 1, kinds.TYPE_FLOAT, True, ""))
    message(
        "Feature",
        ("float_list", 2, kinds.TYPE_MESSAGE, False, ".tensorflow.FloatList"),
        ("int64_list", 3, kinds.TYPE_MESSAGE, False, ".tensorflow.Int64List"),
    )
    features = message("Features", ("feature", 1, kinds.TYPE_MESSAGE, True, ".tensorflow.Features.FeatureEntry"))
    entry = message(
        "FeatureEntry",
        ("key", 1, kinds.TYPE_STRING, False, ""),
        ("value", 2, kinds.TYPE_MESSAGE, False, ".tensorflow.Feature"),
        parent=features,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, kinds.TYPE_MESSAGE, False, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
