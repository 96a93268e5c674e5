"""The family of pairs from records to predictions: a pair is good where its second text begins with 好."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bert_core.config import FineTuneConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.examples.labelled import build_labelled
from bert_core.model.heads import load_fine_tuned
from bert_core.randomness import key_of
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards, write_shards
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.predict import Predictor

TASK = TaskConfig(
    family="sentence_pair",
    sources=[TaskSource(path="x.jsonl")],
    labels=["other", "good"],
    compare=[],
    fine_tune=FineTuneConfig(
        epochs=12, batch_examples=8, max_tokens=24,
        optimization=OptimizationConfig(learning_rate=3e-3, warmup_fraction=0.1),
    ),
)  # fmt: skip


def _write_records(folder: Path) -> None:
    folder.mkdir()
    for name, num_rows, seed in (("train", 96, 1), ("dev", 24, 2), ("test", 24, 3)):
        generator = np.random.default_rng(seed)
        rows: dict[str, list] = {column: [] for column in RECORDS.names}
        for row in range(num_rows):
            plain = ["".join(generator.choice(list("这个书店一的是了"), generator.integers(2, 30))) for _ in range(2)]
            mark = "好" if row % 2 else "坏"
            values = {
                "record_id": int(key_of(name, row)),
                "text": plain[0],
                "text_pair": f"{mark}{mark}{plain[1]}",
                "label": TASK.labels[row % 2],
                "file": "x",
                "line": row,
            }
            for column in rows:
                is_list = pa.types.is_list(RECORDS.field(column).type)
                rows[column].append(values.get(column, [] if is_list else None))
        write_shards(folder, name, RECORDS, [pa.table(rows, schema=RECORDS)])


@pytest.fixture
def trained(task_vocabulary, tmp_path) -> Path:
    _write_records(tmp_path / "split")
    labelled, output = tmp_path / "labelled", tmp_path / "out"
    labelled.mkdir()
    output.mkdir()
    counts = build_labelled(tmp_path / "split", task_vocabulary, TASK, 5, labelled)
    assert counts["train"]["cut"] > 0
    sizes = ModelConfig(num_layers=2, hidden_size=32, num_heads=2, intermediate_size=64, max_positions=64)
    job = FineTuneJob(
        labelled_folder=labelled, vocabulary_folder=task_vocabulary, model=sizes, task=TASK, seed=5,
        output_folder=output, num_threads=1, precision="float32",
    )  # fmt: skip
    assert run_fine_tune(job)["test"]["accuracy"] > 0.9
    return output


def test_pairs_are_learned_and_predicted_as_they_were_scored(trained, tmp_path):
    lines = [json.loads(line) for line in (trained / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    predictor = Predictor.load(trained)
    assert predictor.family == "sentence_pair"
    found = predictor.predict_pairs([(line["text"], line["text_pair"]) for line in lines])
    for line, prediction in zip(lines, found, strict=True):
        assert (prediction["text"], prediction["text_pair"]) == (line["text"], line["text_pair"])
        assert prediction["label"] == line["predicted"]
        assert prediction["probability"] == pytest.approx(line["probability"], abs=1e-5)
    assert predictor.predict_pairs([]) == []


def test_the_command_reads_pairs_with_a_tab_between(trained, tmp_path, capsys):
    from bert_core.errors import RequestError
    from flows.prediction import print_predictions

    path = tmp_path / "pairs.tsv"
    path.write_text("这个\t好好书店\n一\t坏坏的\n", encoding="utf-8")
    print_predictions(str(trained), str(path), overrides=(), json_lines=True)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["text"], one["text_pair"]) for one in found] == [("这个", "好好书店"), ("一", "坏坏的")]
    assert [one["label"] for one in found] == ["good", "other"]
    with pytest.raises(RequestError, match="with a tab between them"):
        print_predictions(str(trained), "好好书店", overrides=(), json_lines=True)


def test_a_saved_model_of_pairs_gives_the_same_logits_in_transformers(trained, tmp_path):
    import torch
    from transformers import BertForSequenceClassification

    rows = read_shards(tmp_path / "labelled", "test")
    ids, length_a = rows["input_ids"][0].as_py(), rows["length_a"][0].as_py()
    types = [int(place >= length_a + 2) for place in range(len(ids))]
    tensors = torch.tensor([ids]), torch.tensor([types])
    oracle = BertForSequenceClassification.from_pretrained(trained).eval()
    theirs = oracle(input_ids=tensors[0], token_type_ids=tensors[1]).logits
    torch.testing.assert_close(load_fine_tuned(trained).model(*tensors), theirs, rtol=1e-4, atol=1e-5)
