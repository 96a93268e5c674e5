"""Masked epochs as Arrow shards, for trainers that cannot draw masks themselves.

Each epoch is a folder of shards that `datasets` loads and transformers trains on as they are: rows of one width, masked
as training masks them for this epoch. Examples with a pair lie in `pairs`, for BertForPreTraining; those without one in
`singles`, which have no `next_sentence_label`, for BertForMaskedLM: a batch of nothing but singles would make the mean
over no pairs, and so the loss of BertForPreTraining, not a number.

Rows stand in the order of the examples, so a trainer should shuffle them. A card, README.md, names the sets.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_examples
from bert_core.examples.reader import ExampleSet
from bert_core.progress import Progress, silent
from bert_core.store.schemas import NO_PAIR
from bert_core.store.shards import token_type, write_shards

IGNORED = -100
"""Label of a token that is not predicted, as transformers has it."""
_ROWS_AT_ONCE = 4096


def build_masked_epochs(
    examples_folder: Path,
    name: str,
    vocabulary_folder: Path,
    masking: MaskingConfig,
    seed: int,
    epochs: Sequence[int],
    folder: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write `epoch-0000/pairs-*.arrow`, `epoch-0000/singles-*.arrow` and so on, and README.md.

    Example: epochs 0 and 3 of examples with two pairing rounds hold round 0 and round 1.

    Args:
        examples_folder: holds the shards of the examples.
        name: `train` or `held_out`.
        vocabulary_folder: vocabulary of their tokens.
        masking: policy, probability and shares.
        seed: of the run.
        epochs: passes to write, from 0, none twice.
        folder: empty folder to write into.
        progress: told of examples written.

    Returns:
        Counts: `width` of the rows in tokens, and for each epoch its pairs, singles and tokens to predict.

    Raises:
        StoreError: shards are missing or not readable.
    """
    examples = ExampleSet.open(examples_folder, name)
    vocabulary = MaskVocabulary.from_folder(vocabulary_folder, masking)
    width = int(examples.lengths.max(initial=0))
    pad_id, num_entries = _pad_and_size(vocabulary_folder)
    is_pair = _is_pair(examples)
    rows_of = [examples.rows_of_round(epoch % examples.rounds) if examples.rounds else [] for epoch in epochs]
    total, written = sum(len(rows) for rows in rows_of), 0
    counts: dict[str, Any] = {"width": width, "epochs": {}}
    for epoch, rows in zip(epochs, rows_of, strict=True):
        rows = np.asarray(rows, np.int64)
        place = folder / f"epoch-{epoch:04d}"
        place.mkdir()
        of_epoch = {"pairs": 0, "singles": 0, "predicted_tokens": 0}
        for kind, chosen in (("pairs", rows[is_pair[rows]]), ("singles", rows[~is_pair[rows]])):
            if not len(chosen):
                continue
            schema = masked_schema(num_entries, with_label=kind == "pairs")

            def tables(
                chosen: np.ndarray = chosen, schema: pa.Schema = schema, epoch: int = epoch
            ) -> Iterator[pa.Table]:
                nonlocal written
                for first in range(0, len(chosen), _ROWS_AT_ONCE):
                    part = chosen[first : first + _ROWS_AT_ONCE]
                    columns = masked_columns(examples, part, masking, vocabulary, seed, epoch, width, pad_id)
                    of_epoch["predicted_tokens"] += int(np.count_nonzero(columns["labels"] != IGNORED))  # noqa: B023
                    yield _table(columns, schema)
                    written += len(part)
                    progress(written, total, "examples")

            of_epoch[kind] = write_shards(place, kind, schema, tables())
        counts["epochs"][f"{epoch}"] = of_epoch
    (folder / "README.md").write_text(_card(masking, seed, name, counts), encoding="utf-8")
    return counts


def masked_schema(vocabulary_size: int, *, with_label: bool) -> pa.Schema:
    """Schema of masked shards: rows of one width, as BertForPreTraining takes them; BertForMaskedLM without a label."""
    fields: list[Any] = [
        ("input_ids", pa.list_(token_type(vocabulary_size))),  # masked and padded
        ("token_type_ids", pa.list_(pa.int8())),  # 1 in the second segment
        ("attention_mask", pa.list_(pa.int8())),  # 0 at padding
        ("labels", pa.list_(pa.int32())),  # -100 where nothing is predicted
    ]
    return pa.schema([*fields, ("next_sentence_label", pa.int64())] if with_label else fields)


def masked_columns(
    examples: ExampleSet,
    rows: np.ndarray,
    masking: MaskingConfig,
    vocabulary: MaskVocabulary,
    seed: int,
    epoch: int,
    width: int,
    pad_id: int,
) -> dict[str, np.ndarray]:
    """Mask and pad some examples.

    Args:
        examples: where they lie.
        rows: row numbers.
        masking: the policy.
        vocabulary: ids that masking needs.
        seed: of the run.
        epoch: masks are a function of (seed, epoch, example id).
        width: tokens of each row, at least those of the longest example.
        pad_id: id of [PAD].

    Returns:
        `input_ids`, `token_type_ids`, `attention_mask` and `labels`, shape (num_rows, width), and
        `next_sentence_label`, shape (num_rows,).
    """
    ragged = examples.take(rows)
    masked_ids, is_target = mask_examples(ragged, seed, epoch, masking, vocabulary)
    lengths, columns = np.diff(ragged.offsets)[:, None], np.arange(width)
    is_text = columns < lengths
    input_ids, labels = np.full(is_text.shape, pad_id, np.int32), np.full(is_text.shape, IGNORED, np.int32)
    input_ids[is_text] = masked_ids  # row by row, as the ragged tokens lie
    labels[is_text] = np.where(is_target == 1, ragged.input_ids, IGNORED)
    return {
        "input_ids": input_ids,
        "token_type_ids": is_text & (columns >= ragged.length_a[:, None] + 2),
        "attention_mask": is_text,
        "labels": labels,
        "next_sentence_label": ragged.next_sentence_labels,
    }


def _table(columns: dict[str, np.ndarray], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        values = columns[field.name]
        if values.ndim == 1:
            arrays.append(pa.array(values.astype(np.int64)))
            continue
        flat = pa.array(values.reshape(-1).astype(field.type.value_type.to_pandas_dtype()))
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        arrays.append(pa.ListArray.from_arrays(pa.array(offsets), flat))
    return pa.Table.from_arrays(arrays, schema=schema)


def _is_pair(examples: ExampleSet) -> np.ndarray:
    """True for each example that has a pair, bool, shape (num_examples,); read in parts, so that memory is bounded."""
    found = np.zeros(examples.num_examples, np.bool_)
    for first in range(0, len(found), _ROWS_AT_ONCE):
        part = np.arange(first, min(first + _ROWS_AT_ONCE, len(found)))
        found[part] = examples.take(part).next_sentence_labels != NO_PAIR
    return found


def _pad_and_size(vocabulary_folder: Path) -> tuple[int, int]:
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    return tokenizer.pad_id, tokenizer.vocabulary_size


def _card(masking: MaskingConfig, seed: int, name: str, counts: dict[str, Any]) -> str:
    """Write the card: its head tells `datasets` of the sets, with a split for each epoch."""
    kinds = [kind for kind in ("pairs", "singles") if any(part[kind] for part in counts["epochs"].values())]
    lines = ["---", "configs:"]
    for kind in kinds:
        lines += [f"- config_name: {kind}", "  data_files:"]
        for epoch, part in counts["epochs"].items():
            if part[kind]:
                lines += [f"  - split: epoch_{epoch}", f"    path: epoch-{int(epoch):04d}/{kind}-*.arrow"]
    lines += ["---", "", "# Masked pretraining examples", ""]
    lines += [
        f"Set `{name}`, policy `{masking.policy}`, {masking.mlm_probability:.0%} of the tokens predicted, seed {seed}; "
        f"rows of {counts['width']} tokens in the order of the examples, so shuffle them.",
        "",
        "| epoch | pairs | singles | tokens to predict |",
        "|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {epoch} | {part['pairs']} | {part['singles']} | {part['predicted_tokens']} |"
        for epoch, part in counts["epochs"].items()
    ]
    lines += [
        "",
        "`pairs` are for BertForPreTraining, `singles` have no `next_sentence_label` and are for BertForMaskedLM.",
    ]
    first = f'"{kinds[0]}", split="epoch_{min(counts["epochs"], key=int)}"' if kinds else '"pairs"'
    example = f'load_dataset("THIS FOLDER", {first})'
    return "\n".join([*lines, "", "```python", "from datasets import load_dataset", "", example, "```", ""])
