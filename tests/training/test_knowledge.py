"""Triples in fine-tuning and prediction: nothing changes where no entity stands, branches are no scored tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bert_core.config import FineTuneConfig, KnowledgeConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.errors import CheckpointError
from bert_core.examples.knowledge import Knowledge
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.training.device import choose_device
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tune_start import starting_model
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.inference import logits_of, predict_classes
from bert_core.training.labelled_batches import IGNORED, hang_triples, padded_batches, read_labelled
from bert_core.training.predict import Predictor

SIZES = ModelConfig(num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32, max_positions=64)
LABELS = {"single_sentence": ["bad", "good"], "sequence_labelling": ["nr", "ns"]}


def _job(
    folder: Path, vocabulary: Path, output: Path, triples: str | None, family: Any = "single_sentence", **settings: Any
) -> FineTuneJob:
    output.mkdir(exist_ok=True)
    path = None
    if triples is not None:
        path = output.parent / f"{output.name}.tsv"
        path.write_text(triples, encoding="utf-8")
    fine_tune = FineTuneConfig(
        epochs=1,
        batch_examples=32,
        max_tokens=32,
        optimization=OptimizationConfig(learning_rate=3e-3),
        knowledge=KnowledgeConfig(triples=None if path is None else str(path)),
        **settings,
    )
    return FineTuneJob(
        labelled_folder=folder,
        vocabulary_folder=vocabulary,
        model=SIZES,
        task=TaskConfig(
            family=family, sources=[TaskSource(path="x")], labels=LABELS[family], compare=[], fine_tune=fine_tune
        ),
        seed=5,
        output_folder=output,
        num_threads=1,
        precision="float32",
    )


def _make_loud(folder: Path) -> None:
    """Scale the weights of a folder up, so that attention to other tokens is seen in the outputs."""
    weights = load_file(folder / "model.safetensors")
    louder = {name: value if "LayerNorm" in name else 20 * value for name, value in weights.items()}
    save_file(louder, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", LABELS)
def test_without_a_mention_the_model_is_bitwise_that_without_triples(family, request, task_vocabulary, tmp_path):
    folder = request.getfixturevalue("sentiment_folder" if family == "single_sentence" else "entity_folder")
    run_fine_tune(_job(folder, task_vocabulary, tmp_path / "plain", None, family))
    counts = run_fine_tune(_job(folder, task_vocabulary, tmp_path / "none", "月球\t是\t星\n", family))
    assert counts["knowledge"]["train"] == {
        "examples_with_triples": 0,
        "entities": 0,
        "triples": 0,
        "triples_left_out": 0,
    }
    for name in ("model.safetensors", "metrics.jsonl", "predictions.jsonl", "scores.json"):
        assert (tmp_path / "none" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name


@pytest.mark.parametrize("crf", [False, True])
def test_tags_with_triples_are_those_of_the_text_alone(crf, entity_folder, task_vocabulary, tmp_path):
    triples = "京\t是\t好店\n张\t在\t沪\n"
    job = _job(entity_folder, task_vocabulary, tmp_path / "out", triples, "sequence_labelling", crf=crf)
    counts = run_fine_tune(job)
    assert counts["knowledge"]["test"]["entities"] > 10
    assert counts["test"]["num_examples"] == 24
    known = Knowledge(tmp_path / "out.tsv", WordPieceTokenizer.from_folder(task_vocabulary), 2)
    examples = read_labelled(entity_folder, "test")
    order = [np.arange(examples.num_examples)]
    (plain,) = padded_batches(examples, order, pad_id=0)
    (hung,) = padded_batches(hang_triples(examples, known, 32), order, pad_id=0)
    assert (hung.labels != IGNORED).sum() == (plain.labels != IGNORED).sum()
    assert (hung.input_ids_BS != 0).sum() > (plain.input_ids_BS != 0).sum()
    width = plain.input_ids_BS.shape[1]
    for name in ("input_ids_BS", "labels", "present_BS"):
        is_trunk = plain.present_BS
        assert np.array_equal(getattr(hung, name)[:, :width][is_trunk], getattr(plain, name)[is_trunk]), name
    assert (hung.labels[:, :width][~plain.present_BS] == IGNORED).all()
    assert (hung.labels[:, width:] == IGNORED).all()
    found = Predictor.load(tmp_path / "out").predict(["张伟在京"])
    assert found[0]["text"] == "张伟在京"
    assert all(entity["end"] <= 4 for entity in found[0]["entities"])


def test_prediction_reads_texts_as_training_did(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", "好\t是\t棒值\n坏\t是\t差\n")
    run_fine_tune(job)
    _make_loud(tmp_path / "out")
    predictor = Predictor.load(tmp_path / "out")
    test = read_labelled(sentiment_folder, "test")
    known = Knowledge(tmp_path / "out.tsv", WordPieceTokenizer.from_folder(task_vocabulary), 2)
    with_triples = predict_classes(predictor._model, hang_triples(test, known, 32), choose_device("float32"), pad_id=0)
    without = predict_classes(predictor._model, test, choose_device("float32"), pad_id=0)
    found = [one["probabilities"]["good"] for one in predictor.predict(test.texts.to_pylist())]
    np.testing.assert_allclose(found, with_triples[:, 1], atol=2e-6)
    assert np.abs(without - with_triples).max() > 1e-4
    (tmp_path / "out" / "knowledge.tsv").unlink()
    with pytest.raises(CheckpointError, match=r"knowledge\.tsv: missing"):
        Predictor.load(tmp_path / "out")


def test_a_branch_behind_the_trunk_is_one_between_its_tokens(sentiment_folder, task_vocabulary, tmp_path):
    """The order of rows does not matter to attention: transformers with the paper's order gives the same [CLS]."""
    from transformers import BertConfig as TransformersConfig
    from transformers import BertForSequenceClassification

    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", "好\t是\t棒值\n")
    run_fine_tune(job)
    _make_loud(tmp_path / "out")
    known = Knowledge(tmp_path / "out.tsv", WordPieceTokenizer.from_folder(task_vocabulary), 2)
    examples = hang_triples(read_labelled(sentiment_folder, "test"), known, 32)
    assert examples.trees is not None
    row = int(np.flatnonzero(examples.trees.lengths)[0])
    (batch,) = padded_batches(examples, [np.array([row])], pad_id=0)
    model = Predictor.load(tmp_path / "out")._model
    ours = logits_of(model, batch, choose_device("float32")).detach()
    theirs = BertForSequenceClassification.from_pretrained(
        tmp_path / "out", attn_implementation="eager", config=TransformersConfig.from_pretrained(tmp_path / "out")
    ).eval()
    size = int(examples.lengths[row] + examples.trees.lengths[row])
    ends = examples.trees.entity_ends[examples.trees.offsets[row] : examples.trees.offsets[row + 1]]
    trunk = int(examples.lengths[row])
    order = np.lexsort((np.arange(size), np.concatenate([np.arange(trunk), ends - 0.5])))
    assert batch.visible_BSS is not None
    assert batch.position_ids_BS is not None
    visible = batch.visible_BSS[0, :size, :size][np.ix_(order, order)]
    bias = torch.zeros(1, 1, size, size).masked_fill(~torch.from_numpy(visible), -1e30)
    with torch.inference_mode():
        expected = theirs(
            input_ids=torch.from_numpy(batch.input_ids_BS[:, order]),
            token_type_ids=torch.from_numpy(batch.token_type_ids_BS[:, order]),
            position_ids=torch.from_numpy(batch.position_ids_BS[:, order]),
            attention_mask=bias,
        ).logits
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_a_row_without_mentions_is_not_changed_by_those_beside_it(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", "好\t是\t棒值\n")
    model = starting_model(job, 34, 0).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name:
                parameter.mul_(20)
    known = Knowledge(tmp_path / "out.tsv", WordPieceTokenizer.from_folder(task_vocabulary), 2)
    examples = read_labelled(sentiment_folder, "test")
    hung = hang_triples(examples, known, 32)
    assert hung.trees is not None
    rows = np.arange(examples.num_examples)
    (plain,) = padded_batches(examples, [rows], pad_id=0)
    (batch,) = padded_batches(hung, [rows], pad_id=0)
    device = choose_device("float32")
    with torch.inference_mode():
        before, after = logits_of(model, plain, device), logits_of(model, batch, device)
    has_none = hung.trees.lengths == 0
    assert 0 < has_none.sum() < len(rows)
    torch.testing.assert_close(after[has_none], before[has_none], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(after[~has_none], before[~has_none], rtol=0, atol=1e-3)
