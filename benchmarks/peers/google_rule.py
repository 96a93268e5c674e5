"""google-research/bert's create_pretraining_data.py, its rule re-stated (the original needs TensorFlow 1).

One process, pure Python as there: its tokenization (here), its pairs and static masks (`benchmarks/reference_rule.py`),
padding to 128, one serialised `tf.train.Example` a record in a TFRecord file. The messages are written by the
compiled protobuf library, as TensorFlow does; the checksum is zlib's crc32 in place of crc32c. dupe_factor is 1.
Nothing is made faster or slower on purpose.

Source: google-research/bert create_pretraining_data.py and tokenization.py (Apache-2.0); algorithm re-stated,
no code taken.
"""

import struct
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.measure import clock
from benchmarks.reference_rule import ReferenceInstance, ReferenceSettings, reference_instances

MAX_TOKENS = 128
MAX_PREDICTIONS = 20
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
        settings = ReferenceSettings(MAX_TOKENS, dupe_factor=1, max_predictions_per_seq=MAX_PREDICTIONS)
        instances = reference_instances(_read(Path(sentences), ids), entries, settings)
        num_tokens = 0
        with Path(output).open("wb") as opened:
            for instance in instances:
                num_tokens += len(instance.tokens)
                _write_record(opened, _serialised(example_type, ids, instance))
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


def _serialised(example_type: Any, ids: dict[str, int], instance: ReferenceInstance) -> bytes:
    tokens, positions = instance.tokens, instance.masked_lm_positions
    padding, no_target = [0] * (MAX_TOKENS - len(tokens)), [0] * (MAX_PREDICTIONS - len(positions))
    example = example_type()
    feature = example.features.feature
    feature["input_ids"].int64_list.value.extend([ids[token] for token in tokens] + padding)
    feature["input_mask"].int64_list.value.extend([1] * len(tokens) + padding)
    feature["segment_ids"].int64_list.value.extend(instance.segment_ids + padding)
    feature["masked_lm_positions"].int64_list.value.extend(positions + no_target)
    feature["masked_lm_ids"].int64_list.value.extend([ids[label] for label in instance.masked_lm_labels] + no_target)
    feature["masked_lm_weights"].float_list.value.extend([1.0] * len(positions) + [0.0] * len(no_target))
    feature["next_sentence_labels"].int64_list.value.append(int(instance.is_random_next))
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
