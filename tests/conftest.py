"""A tiny line over written text: two corpora, one task of two classes, a model of one layer of width 32.

Beside it, examples written and read as rows that name their documents.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SUBJECTS = ["小明", "老师", "医生", "我们", "他的朋友", "邻居", "厨师", "店员"]
ACTIONS = ["今天去了", "昨天离开", "早上经过", "下午打扫", "常常谈起", "画过", "不认识", "第一次看见"]
PLACES = ["学校", "医院", "北京的公园", "图书馆", "新开的饭馆", "河边", "火车站", "那家书店"]
MOODS = [("很好", "positive"), ("非常满意", "positive"), ("太差", "negative"), ("令人失望", "negative")]

RECIPE = """\
name: tiny
workspace: {folder}/workspace
seed: 3
corpora:
  general:
    paths: [{folder}/general.txt]
    format: txt_blank_line
  reviews:
    paths: [{folder}/reviews.txt]
    format: txt_line
vocabulary: {{size: 300}}
model: {{num_layers: 1, hidden_size: 32, num_heads: 2, intermediate_size: 64, max_positions: 64}}
pretrain:
  corpus: general
  steps: 4
  batch_examples: 4
  evaluate_every_steps: 2
  examples: {{max_tokens: 48, held_out_fraction: 0.2}}
domain_transfer:
  corpus: reviews
  steps: 3
  batch_examples: 4
  examples: {{max_tokens: 48, objective: none, held_out_fraction: 0.1}}
task_transfer:
  tasks: [mood]
  steps: 2
  batch_examples: 4
  examples: {{max_tokens: 48, objective: none, held_out_fraction: 0.1}}
tasks:
  mood:
    family: single_sentence
    labels: [positive, negative]
    sources: [{{path: {folder}/mood.tsv, format: tsv}}]
    dev_fraction: 0.2
    test_fraction: 0.2
    fine_tune: {{epochs: 1, batch_examples: 8, max_tokens: 32}}
    compare: [random, tfidf]
"""


def sentence(number: int) -> str:
    """A sentence of its own for each number below 512."""
    subject, action, place = number % 8, number // 8 % 8, number // 64 % 8
    return f"{SUBJECTS[subject]}{ACTIONS[action]}{PLACES[place]}。"


def write_tiny(folder: Path) -> Path:
    """Write raw text, labelled text and a recipe into a folder, and return the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = ["\n".join(sentence(7 * d + k) for k in range(6)) for d in range(40)]
    (folder / "general.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    reviews = [f"{sentence(3 * n + 300)}{MOODS[n % 4][0]}，值得再来{n}次。" for n in range(60)]
    (folder / "reviews.txt").write_text("\n".join(reviews) + "\n", encoding="utf-8")
    rows = ["text\tlabel"]
    for n in range(60):
        word, label = MOODS[n % 4]
        rows.append(f"{sentence(5 * n + 100)}这次{word}，花了{n}块。\t{label}")
    (folder / "mood.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return recipe


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """Path of a tiny recipe in a folder of its own."""
    return write_tiny(tmp_path)


@pytest.fixture(scope="module")
def shared_tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a tiny recipe that the tests of a file share, with what the earlier ones built."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def _write_examples(
    folder: Path,
    vocabulary_size: int,
    sets: dict[str, Iterable[dict[str, Any]]],
    *,
    rows_per_table: int = 4096,
    shard_bytes: int = 64 << 20,
    with_words: bool = True,
    continuation_ids: Iterable[int] = (),
) -> None:
    """Write examples that say doc_id_a, token_a, doc_id_b, token_b, with documents long enough to hold them."""
    import pyarrow as pa

    from bert_core.examples.sources import reader_metadata
    from bert_core.store.schemas import SOURCES, examples_schema
    from bert_core.store.shards import write_shards

    sets = {name: list(rows) for name, rows in sets.items()}
    ends: dict[int, int] = {}
    for row in (row for rows in sets.values() for row in rows):
        for side in ("a", "b"):
            doc_id, end = row[f"doc_id_{side}"], max(row[f"token_{side}"], 0) + len(row["input_ids"])
            ends[doc_id] = max(ends.get(doc_id, 0), end)
    firsts = dict(zip(ends, np.cumsum([0, *ends.values()]).tolist(), strict=False))
    continues = np.zeros(vocabulary_size, bool)
    continues[list(continuation_ids)] = True
    schema = examples_schema(vocabulary_size, with_words=with_words)
    schema = schema.with_metadata(reader_metadata(np.array(list(ends), np.uint64), continues))
    for name, rows in sets.items():
        lines = []
        for row in rows:
            first_a = firsts[row["doc_id_a"]] + row["token_a"]
            has_pair = row["next_sentence_label"] != -100
            first_b = firsts[row["doc_id_b"]] + row["token_b"] if has_pair else first_a
            line = row | {"first_a": first_a, "first_b": first_b}
            lines.append({column: line[column] for column in schema.names})
        tables = [
            pa.Table.from_pylist(lines[low : low + rows_per_table], schema=schema)
            for low in range(0, len(lines), rows_per_table)
        ]
        write_shards(folder, name, schema, tables, shard_bytes=shard_bytes)
    columns = {"doc_id": pa.array(list(ends), pa.uint64()), "num_tokens": pa.array(list(ends.values()), pa.uint32())}
    write_shards(folder, "sources", SOURCES, [pa.table(columns)])


@pytest.fixture(scope="session")
def write_examples() -> Callable[..., None]:
    """Write sets of examples into a folder."""
    return _write_examples


@pytest.fixture(scope="session")
def read_examples() -> Callable[[Path, str], list[dict[str, Any]]]:
    """Read a set of examples as rows that name their documents."""

    def read(folder: Path, name: str) -> list[dict[str, Any]]:
        from bert_core.examples.reader import ExampleSet

        examples = ExampleSet.open(folder, name)
        taken, sources = (of(np.arange(examples.num_examples)) for of in (examples.take, examples.sources))
        rows = []
        for row in range(examples.num_examples):
            tokens = slice(taken.offsets[row], taken.offsets[row + 1])
            entities = slice(taken.entity_offsets[row], taken.entity_offsets[row + 1])
            rows.append(
                {
                    "example_id": int(taken.example_ids[row]),
                    "input_ids": taken.input_ids[tokens].tolist(),
                    "length_a": int(taken.length_a[row]),
                    "next_sentence_label": int(taken.next_sentence_labels[row]),
                    "word_starts": taken.word_starts[tokens].tolist(),
                    "entity_starts": taken.entity_starts[entities].tolist(),
                    "entity_lengths": taken.entity_lengths[entities].tolist(),
                    **{column: int(values[row]) for column, values in sources.items()},
                }
            )
        return rows

    return read
