"""Examples for the report's explorer: drawn from the shards, masked as training masks them, traced to file and line.

The masks are those of `examples/masking.py` under the settings and seed in the training stage's manifest, so an epoch
on the page is the epoch that the model saw.

Not here: how a view is made (`examples/inspect.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bert_core.examples.inspect import ExampleView
from bert_core.report.tables import kind_of
from bert_core.report.view import ExampleCard, TokenMask, TokenView
from bert_core.store.manifest import Manifest

NUM_EXAMPLES = 12
"""Examples shown of each training stage."""
NUM_EPOCHS = 3
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


def sample_examples(outputs: Mapping[str, tuple[Path, Manifest]]) -> dict[str, list[ExampleView]]:
    """Look at some training examples of every training stage, spread evenly over the set.

    With several pairing rounds, examples of round 0 are shown in epochs that read it.

    Args:
        outputs: folder and manifest by stage id; a stage without its examples or vocabulary is passed over.

    Returns:
        Views by stage id of the examples.
    """
    from bert_core.config import MaskingConfig
    from bert_core.examples.inspect import sample_view
    from bert_core.examples.reader import ExampleSet

    found: dict[str, list[ExampleView]] = {}
    for _, manifest in outputs.values():
        roles = {role: outputs.get(parent.stage) for role, parent in manifest.parents.items()}
        examples, vocabulary = roles.get("examples"), roles.get("vocabulary")
        if kind_of(manifest) != "transfer" or examples is None or vocabulary is None:
            continue
        train = ExampleSet.open(examples[0], "train")
        if not train.num_examples:
            continue
        rows = train.rows_of_round(0)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, NUM_EXAMPLES).astype(np.int64))]
        settings = manifest.spec["settings"]
        found[examples[1].stage] = sample_view(
            examples[0],
            "train",
            vocabulary[0],
            rows.tolist(),
            [MaskingConfig.model_validate(settings["transfer"]["masking"])],
            settings["seed"],
            [epoch * train.rounds for epoch in range(NUM_EPOCHS)],
        )
    return found


def document_places(outputs: Mapping[str, tuple[Path, Manifest]], views: Sequence[ExampleView]) -> dict[int, str]:
    """Find where the documents of some examples stand in the raw files.

    Returns:
        `file:line` by document id; ids that no corpus of the run holds are missing.
    """
    from bert_core.store.shards import read_shard

    wanted = np.unique(np.array([[view.doc_id_a, view.doc_id_b] for view in views], np.uint64))
    places: dict[int, str] = {}
    for folder, manifest in outputs.values():
        if kind_of(manifest) != "documents" or not len(wanted):
            continue
        for path in sorted(folder.glob("documents-*.arrow")):
            table = read_shard(path)
            doc_ids = table.column("doc_id").to_numpy()
            rows = table.take(np.flatnonzero(np.isin(doc_ids, wanted)))
            for doc_id, file, line in zip(
                *(rows.column(name).to_pylist() for name in ("doc_id", "file", "line")), strict=True
            ):
                places.setdefault(doc_id, f"{file}:{line}")
    return places


def example_card(stage: str, view: ExampleView, places: Mapping[int, str]) -> ExampleCard:
    """Turn a view of an example into a card.

    Args:
        stage: stage id of the examples.
        view: tokens, words and epochs.
        places: `file:line` by document id.
    """
    first_of_word = {first for first, _ in view.words}
    masks: list[list[TokenMask]] = [[] for _ in view.tokens]
    for masked in view.masks:
        for position, (shown, change) in enumerate(zip(masked.tokens, masked.changes, strict=True)):
            if change:
                masks[position].append(TokenMask(epoch=masked.epoch, shown=shown, how=change))
    tokens = []
    for position, text in enumerate(view.tokens):
        is_special = text in _SPECIAL
        word = "latin" if text[:1].isascii() else "word"
        tokens.append(
            TokenView(
                text=text,
                kind="special" if is_special else word if position in first_of_word else "",
                in_b=not is_special and position > view.length_a + 1,
                masks=tuple(masks[position]),
            )
        )
    sides = [("A", view.doc_id_a, view.token_a), ("B", view.doc_id_b, view.token_b)]
    return ExampleCard(
        stage=stage,
        example_id=f"{view.example_id:016x}",
        label=view.pair,
        tokens=tuple(tokens),
        origins=tuple(
            f"{side}: {places.get(doc_id, f'document {doc_id:016x}')}, from token {token}"
            for side, doc_id, token in sides
            if token >= 0
        ),
        text=readable(view.tokens),
    )


def readable(tokens: Sequence[str]) -> str:
    """Join tokens as a reader would write them: pieces joined, Han without spaces, other words apart.

    Example: `["[CLS]", "play", "##ing", "好", "的", "[SEP]"]` -> `playing好的`.
    """
    text = ""
    for token in tokens:
        if token in _SPECIAL:
            text += " "
        elif token.startswith("##"):
            text += token[2:]
        else:
            text += f" {token}" if token[:1].isascii() and text[-1:].isascii() and text[-1:] != " " else token
    return text.strip()
