"""Masked epochs on disk: the masks of training, read by datasets, trained on by transformers, never written over."""

from pathlib import Path

import numpy as np
import pytest

from bert_core.errors import RequestError, WorkError
from bert_core.stages.build import run_stage
from bert_core.stages.line import Line, LineRequest, open_line
from flows.materialization import materialize, parse_epochs


@pytest.fixture(scope="module")
def line(shared_tiny_recipe: Path) -> Line:
    line = open_line(LineRequest(recipe=str(shared_tiny_recipe), overrides=("pretrain.examples.pairing_rounds=2",)))
    for stage in line.stages.values():
        if stage.kind in ("split", "slices", "documents", "vocabulary", "tokens", "examples"):
            run_stage(line, stage.id)
    return line


@pytest.fixture(scope="module")
def written(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "masked"
    materialize(line.request.recipe, "pretrain", "0,3", out, overrides=line.request.overrides)
    return out


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize(("text", "epochs"), [("0", [0]), ("0-2,5", [0, 1, 2, 5]), (" 7 , 1 - 2", [7, 1, 2])])
def test_epochs_are_numbers_and_ranges(text: str, epochs: list[int]) -> None:
    assert parse_epochs(text) == epochs


@pytest.mark.parametrize("text", ["", "a", "-1", "2-1", "1,1", "0-5,3", "0-100000"])
def test_other_words_for_epochs_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--epochs"):
        parse_epochs(text)


@pytest.mark.parametrize("epoch", [0, 3])
def test_masks_on_disk_are_those_that_training_draws(line: Line, written: Path, epoch: int) -> None:
    from datasets import Dataset

    from bert_core.examples.masking import MaskVocabulary, mask_batch
    from bert_core.examples.reader import ExampleSet

    (examples,), (vocabulary,) = line.outputs_of("examples/pretrain"), line.outputs_of("vocabulary")
    found = ExampleSet.open(examples.folder, "train")
    ragged = found.take(found.rows_of_round(epoch % 2))
    masked_ids, is_target = mask_batch(
        ragged.input_ids,
        ragged.offsets,
        ragged.word_starts,
        ragged.entity_starts,
        ragged.entity_lengths,
        ragged.entity_offsets,
        ragged.example_ids,
        3,
        epoch,
        line.recipe.transfers()["pretrain"].masking,
        MaskVocabulary.from_folder(vocabulary.folder),
    )
    width = int(found.lengths.max())
    expected: dict[str, list[dict]] = {"pairs": [], "singles": []}
    for index, label in enumerate(ragged.next_sentence_labels.tolist()):
        tokens = slice(ragged.offsets[index], ragged.offsets[index + 1])
        length, num_a = int(np.diff(ragged.offsets)[index]), int(ragged.length_a[index]) + 2
        pad = width - length
        hidden = np.where(is_target[tokens], ragged.input_ids[tokens], -100).tolist()
        row = {
            "input_ids": masked_ids[tokens].tolist() + [0] * pad,
            "token_type_ids": [0] * num_a + [1] * (length - num_a) + [0] * pad,
            "attention_mask": [1] * length + [0] * pad,
            "labels": hidden + [-100] * pad,
        }
        expected["singles" if label == -100 else "pairs"].append(
            row if label == -100 else row | {"next_sentence_label": label}
        )
    for kind, rows in expected.items():
        shards = sorted((written / f"epoch-{epoch:04d}").glob(f"{kind}-*.arrow"))
        assert [row for shard in shards for row in Dataset.from_file(str(shard))] == rows
        assert rows


def test_datasets_loads_the_folder_by_its_card_and_by_its_shards(written: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    by_card = load_dataset(str(written), "pairs", cache_dir=str(tmp_path / "one"))
    assert list(by_card) == ["epoch_0", "epoch_3"]
    shards = str(written / "epoch-0003" / "pairs-*.arrow")
    by_shards = load_dataset("arrow", data_files=shards, split="train", cache_dir=str(tmp_path / "two"))
    assert by_card["epoch_3"][:] == by_shards[:]
    assert by_card["epoch_0"][:] != by_shards[:]


def test_transformers_trains_on_them_as_they_are(written: Path, tmp_path: Path) -> None:
    import torch
    from datasets import load_dataset
    from torch.utils.data import DataLoader
    from transformers import BertConfig, BertForPreTraining, default_data_collator

    rows = load_dataset(str(written), "pairs", split="epoch_0", cache_dir=str(tmp_path / "cache"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForPreTraining(BertConfig(vocab_size=300, max_position_embeddings=64, **sizes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(2):
        for batch in DataLoader(rows, batch_size=8, shuffle=True, collate_fn=default_data_collator):
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert all(np.isfinite(losses))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.5


def test_the_folder_is_sealed_and_the_same_each_time(line: Line, written: Path, tmp_path: Path) -> None:
    from bert_core.store.manifest import faults_of, read_manifest

    manifest = read_manifest(written)
    assert manifest is not None
    assert faults_of(written, manifest, digests=True) == []
    assert manifest.parents.keys() == {"examples", "vocabulary"}
    again = tmp_path / "again"
    materialize(line.request.recipe, "examples/pretrain", "0,3", again, overrides=line.request.overrides)
    other = read_manifest(again)
    assert other is not None
    assert other.content == manifest.content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]


def test_a_folder_that_is_there_is_left_as_it_is(line: Line, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for out, message in ((tmp_path / "mine", "never written over"), (tmp_path / "no" / "out", "does not exist")):
        with pytest.raises(RequestError, match=message):
            materialize(line.request.recipe, "pretrain", "0", out, overrides=line.request.overrides)
    with pytest.raises(RequestError, match="'tokens/general' has no examples to mask"):
        materialize(line.request.recipe, "tokens/general", "0", tmp_path / "new", overrides=line.request.overrides)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_fails_on_the_way_leaves_nothing(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise WorkError("the disk is full")

    monkeypatch.setattr("bert_core.examples.materialize.masked_columns", failing)
    with pytest.raises(WorkError, match="the disk is full"):
        materialize(line.request.recipe, "pretrain", "0", tmp_path / "new", overrides=line.request.overrides)
    assert list(tmp_path.iterdir()) == []
