"""A small vocabulary and two small labelled sets, written as the labelled stage writes them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bert_core.corpus.tags import bio_tags
from bert_core.randomness import key_of
from bert_core.store.schemas import labelled_schema
from bert_core.store.shards import write_shards
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

GOOD, BAD, PLAIN = "好棒喜爱值", "坏差退假慢", "这个书店一的是了在有"
FAMILY_NAMES, GIVEN_NAMES, PLACES = "张王李", "伟芳", "京沪杭苏"
ENTRIES = [*SPECIAL_ENTRIES, *GOOD, *BAD, *PLAIN, *FAMILY_NAMES, *GIVEN_NAMES, *PLACES]
TOKEN_OF = {entry: index for index, entry in enumerate(ENTRIES)}


@pytest.fixture
def task_vocabulary(tmp_path: Path) -> Path:
    """A vocabulary folder of single characters."""
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    write_vocabulary(ENTRIES, True, folder)
    return folder


@pytest.fixture
def sentiment_folder(tmp_path: Path) -> Path:
    """Texts of class 0 (bad) and 1 (good), told apart by a few characters."""
    folder = tmp_path / "labelled_sentiment"
    folder.mkdir()
    for split, num_rows, seed in (("train", 96, 1), ("dev", 24, 2), ("test", 24, 3)):
        generator = np.random.default_rng(seed)
        texts, labels = [], []
        for row in range(num_rows):
            label = row % 2
            marks = generator.choice(list((BAD, GOOD)[label]), 3)
            letters = [*generator.choice(list(PLAIN), generator.integers(3, 20)), *marks]
            generator.shuffle(letters)
            texts.append("".join(letters))
            labels.append(label)
        windows = [(text, 0, len(text), 0, len(text)) for text in texts]
        _write(folder, split, windows, labels=labels)
    return folder


@pytest.fixture
def entity_folder(tmp_path: Path) -> Path:
    """Texts with names of people (two characters) and places; every sixth text stands in two windows."""
    folder = tmp_path / "labelled_entities"
    folder.mkdir()
    for split, num_rows, seed in (("train", 96, 1), ("dev", 24, 2), ("test", 24, 3)):
        generator = np.random.default_rng(seed)
        windows, tags = [], []
        for row in range(num_rows):
            letters, of_text = [], []
            for _ in range(generator.integers(2, 5)):
                plain = generator.choice(list(PLAIN), generator.integers(1, 5))
                person = [generator.choice(list(FAMILY_NAMES)), generator.choice(list(GIVEN_NAMES))]
                name, kind = (person, 1) if generator.integers(2) else ([generator.choice(list(PLACES))], 3)
                letters += [*plain, *name]
                of_text += [0] * len(plain) + [kind] + [kind + 1] * (len(name) - 1)
            text, size = "".join(letters), len(letters)
            if row % 6 == 5:
                windows += [(text, 0, size - 2, 0, size - 4), (text, 2, size, size - 4, size)]
                tags += [of_text, of_text]
            else:
                windows.append((text, 0, size, 0, size))
                tags.append(of_text)
        _write(folder, split, windows, tags=tags)
    content = {"family": "sequence_labelling", "labels": ["nr", "ns"], "tags": bio_tags(["nr", "ns"])}
    (folder / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _write(
    folder: Path,
    split: str,
    windows: list[tuple[str, int, int, int, int]],
    labels: list[int] | None = None,
    tags: list[list[int]] | None = None,
) -> None:
    """Write windows (text, first and last character of it, first and last that is scored) as a split."""
    rows: dict[str, list] = {name: [] for name in labelled_schema(len(ENTRIES)).names}
    for index, (text, start, stop, scored_start, scored_stop) in enumerate(windows):
        inside = range(start, stop)
        rows["example_id"].append(index)
        rows["record_id"].append(int(key_of(text)))
        rows["input_ids"].append([2, *(TOKEN_OF[text[i]] for i in inside), 3])
        rows["length_a"].append(stop - start)
        rows["label"].append(labels[index] if labels else -100)
        scored = [tags[index][i] if scored_start <= i < scored_stop else -100 for i in inside] if tags else []
        rows["token_labels"].append([-100, *scored, -100] if tags else [])
        rows["char_starts"].append([-1, *inside, -1])
        rows["char_ends"].append([-1, *(i + 1 for i in inside), -1])
        rows["text"].append(text)
        rows["text_pair"].append(None)
    schema = labelled_schema(len(ENTRIES))
    write_shards(folder, split, schema, [pa.table(rows, schema=schema)])


@pytest.fixture
def write_split() -> Callable[..., None]:
    """Write one split of a labelled folder."""
    return _write


PRETRAINING_ENTRIES = [*SPECIAL_ENTRIES, *(chr(0x4E00 + index) for index in range(45))]


@pytest.fixture(scope="session")
def pretraining_folders(
    tmp_path_factory: pytest.TempPathFactory, write_examples: Callable[..., None]
) -> tuple[Path, Path]:
    """An examples folder (60 train examples in 2 rounds, 12 held out) and its vocabulary folder."""
    examples, vocabulary = tmp_path_factory.mktemp("examples"), tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(PRETRAINING_ENTRIES, True, vocabulary)
    write_examples(examples, len(PRETRAINING_ENTRIES), _example_sets(12))
    return examples, vocabulary


@pytest.fixture(scope="session")
def long_examples_folder(tmp_path_factory: pytest.TempPathFactory, write_examples: Callable[..., None]) -> Path:
    """Examples like those of `pretraining_folders`, up to 48 tokens."""
    folder = tmp_path_factory.mktemp("long_examples")
    write_examples(folder, len(PRETRAINING_ENTRIES), _example_sets(23))
    return folder


def _example_sets(longest_side: int) -> dict[str, list[dict]]:
    """Return 60 train examples in 2 rounds and 12 held-out ones, each side shorter than `longest_side` tokens."""
    sets: dict[str, list[dict]] = {}
    for name, num_rows, num_rounds in (("train", 60, 2), ("held_out", 12, 1)):
        generator = np.random.default_rng(num_rows)
        sets[name] = []
        for row in range(num_rows):
            length_a, length_b = generator.integers(1, longest_side, 2)
            first = int(generator.integers(5, 40))  # the text counts upwards, so that there is something to learn
            tokens = [5 + (first + place) % 45 for place in range(length_a + length_b)]
            input_ids = [2, *tokens[:length_a], 3, *tokens[length_a:], 3]
            values = {
                "input_ids": input_ids,
                "length_a": length_a,
                "next_sentence_label": row % 3 - 1 if row % 3 else -100,
                "word_starts": [True] * len(input_ids),
                "entity_starts": [],
                "entity_lengths": [],
                "round": row * num_rounds // num_rows,
                "doc_id_a": num_rows,
                "doc_id_b": num_rows,
                "token_a": row,
                "token_b": row,
            }
            sets[name].append(values)
    return sets
