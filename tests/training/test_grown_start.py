"""A stage and a fine-tuning that begin from a model whose vocabulary has grown since."""

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file

from bert_core.config import ModelConfig, TaskConfig, TaskSource
from bert_core.progress import silent
from bert_core.tokens.vocabulary_files import load_vocabulary, write_vocabulary
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tune_start import starting_model
from bert_core.training.loop import train_transfer
from bert_core.training.stopping import StopFlag
from tests.training.two_ranks import make_job


def test_the_first_stage_grows_and_later_ones_take_over(tmp_path: Path, pretraining_folders: tuple[Path, Path]):
    first = make_job(tmp_path, *pretraining_folders, "first", steps=1)
    train_transfer(first, silent, StopFlag())
    own, grown = load_vocabulary(pretraining_folders[1]), tmp_path / "grown"
    grown.mkdir()
    write_vocabulary([*own, "abc", "龙"], True, grown)
    second = make_job(tmp_path, *pretraining_folders, "second", steps=1)
    second = dataclasses.replace(second, start=str(first.output_folder), vocabulary_folder=grown)
    counts = train_transfer(second, silent, StopFlag())
    assert counts["start"].endswith("0 drawn anew, 0 unused, 2 new entries begun from their pieces")
    third = make_job(tmp_path, *pretraining_folders, "third", steps=1)
    third = dataclasses.replace(third, start=str(second.output_folder), vocabulary_folder=grown)
    assert train_transfer(third, silent, StopFlag())["start"].endswith("0 drawn anew, 0 unused")
    weights = load_file(third.output_folder / "model.safetensors")
    assert len(weights["bert.embeddings.word_embeddings.weight"]) == len(own) + 2

    task = TaskConfig(family="single_sentence", labels=["a", "b"], sources=[TaskSource(path="x.tsv")])
    fine_tune = FineTuneJob(
        labelled_folder=tmp_path,
        vocabulary_folder=grown,
        model=ModelConfig(),
        task=task,
        seed=1,
        output_folder=tmp_path,
        start=str(first.output_folder),
    )
    vectors = starting_model(fine_tune, len(own) + 2, 0).bert.embeddings.word_embeddings.weight
    stored = load_file(first.output_folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(vectors[: len(own)], stored)
    torch.testing.assert_close(vectors[-1], stored[1])  # unknown before
    random = dataclasses.replace(fine_tune, start=None, like=str(first.output_folder))
    assert starting_model(random, len(own) + 2, 0).bert.config.vocab_size == len(own) + 2
