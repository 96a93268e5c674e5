"""A vocabulary that grows by the words of a domain: which entries, how their weights begin, what stays."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from bert_core.config.text import GrowthConfig
from bert_core.errors import CheckpointError
from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.exchange import load_encoder, load_pretraining, save_model
from bert_core.model.pretraining import BertForPretraining, PretrainingBatch
from bert_core.tokens.growth import new_entries
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, load_vocabulary, write_vocabulary

OWN = [*SPECIAL_ENTRIES, "我", "买", "lap", "##top", "##s", "cam", "##era", "a", "##b", "。"]


def test_frequent_words_that_are_cut_or_unknown_are_appended_by_their_count():
    texts = ["我买Laptop。laptop laptops", "lap top 琢琢琢琢", "camera camera camera", "ab xyz我xyz"]
    growth = GrowthConfig(corpora=["reviews"], min_count=2)
    batches = [pa.array(texts[:2]), pa.array(texts[2:])]
    assert new_entries(iter(batches), OWN, True, growth) == ["琢", "camera", "laptop", "xyz"]
    assert new_entries(iter(batches), OWN, True, growth.model_copy(update={"max_entries": 2})) == ["琢", "camera"]
    assert new_entries(iter(batches), OWN, True, growth.model_copy(update={"min_count": 4})) == ["琢"]
    assert new_entries(iter(batches[:1]), OWN, False, growth) == ["琢"]  # Laptop and laptop are two words
    assert new_entries(iter([]), OWN, True, growth) == []


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A small model of OWN, and the folder of the grown vocabulary."""
    own, grown, folder = (tmp_path / name for name in ("own", "grown", "model"))
    for each in (own, grown, folder):
        each.mkdir()
    write_vocabulary(OWN, True, own)
    write_vocabulary([*OWN, "laptop", "laptops", "琢"], True, grown)
    config = BertConfig(
        vocab_size=len(OWN),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForPretraining(config, with_span_boundary=True)
    initialise(model, 1, 0.5)
    torch.nn.init.normal_(model.cls.predictions.bias)
    save_model(folder, model, own, kind="pretraining", card={})
    return folder, grown


def batch_of(ids: list[int]) -> PretrainingBatch:
    every = torch.arange(len(ids))
    row = torch.tensor([ids])
    return PretrainingBatch(row, torch.zeros_like(row), torch.tensor([len(ids)]), every, row[0], torch.tensor([0]))


def test_old_logits_stay_and_new_entries_begin_at_the_mean_of_their_pieces(folders: tuple[Path, Path]):
    folder, grown_folder = folders
    before, _ = load_pretraining(folder)
    grown, report = load_pretraining(folder, entries=load_vocabulary(grown_folder), with_span_boundary=True)
    assert (report.num_new_entries, report.fresh, grown.config.vocab_size) == (3, [], len(OWN) + 3)
    batch = batch_of([2, 5, 6, 7, 8, 14, 3])
    with torch.no_grad():
        old, new = before.eval().logits(batch), grown.eval().logits(batch)
    torch.testing.assert_close(new[0][:, : len(OWN)], old[0], rtol=1e-6, atol=1e-6)
    assert torch.equal(new[1], old[1])
    assert grown.span_boundary is not None
    assert len(grown.span_boundary.bias) == len(OWN) + 3
    for weights in (grown.bert.embeddings.word_embeddings.weight, grown.cls.predictions.bias):
        for entry, pieces in ((15, [7, 8]), (16, [7, 8, 9]), (17, [1])):  # lap ##top, lap ##top ##s, [UNK]
            torch.testing.assert_close(weights[entry], weights[pieces].mean(dim=0))
    encoder, _ = load_encoder(folder, entries=load_vocabulary(grown_folder))
    assert torch.equal(encoder.embeddings.word_embeddings.weight, grown.bert.embeddings.word_embeddings.weight)


def test_a_grown_model_is_read_by_transformers_with_its_words(folders: tuple[Path, Path], tmp_path: Path):
    from transformers import AutoTokenizer, BertForPreTraining

    folder, grown_folder = folders
    grown, _ = load_pretraining(folder, entries=load_vocabulary(grown_folder))
    out = tmp_path / "out"
    out.mkdir()
    save_model(out, grown, grown_folder, kind="pretraining", card={})
    theirs = BertForPreTraining.from_pretrained(out).eval()
    ids = AutoTokenizer.from_pretrained(out)("我买laptops。")["input_ids"]
    assert ids == [2, 5, 6, 16, 14, 3]
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).prediction_logits[0]
        torch.testing.assert_close(grown.eval().logits(batch_of(ids))[0], expected, rtol=1e-4, atol=1e-5)
    again, report = load_pretraining(out, entries=load_vocabulary(grown_folder))
    assert report.num_new_entries == 0
    assert torch.equal(again.bert.embeddings.word_embeddings.weight, grown.bert.embeddings.word_embeddings.weight)


def test_rows_that_pad_a_model_are_written_over(folders: tuple[Path, Path], tmp_path: Path):
    from bert_core.model.growth import grow_weights

    weight = torch.arange(20.0).reshape(10, 2)
    state = {"bert.embeddings.word_embeddings.weight": weight, "bert.pooler.dense.bias": torch.zeros(2)}
    grown = grow_weights(state, 7, [[0, 1], [6]])
    expected = torch.cat([weight[:7], torch.tensor([[1.0, 2.0], [12.0, 13.0]]), weight[9:]])
    assert torch.equal(grown["bert.embeddings.word_embeddings.weight"], expected)
    assert torch.equal(grown["bert.pooler.dense.bias"], torch.zeros(2))


def test_a_vocabulary_that_is_not_the_models_with_more_behind_is_refused(folders: tuple[Path, Path]):
    mixed = [*OWN]
    mixed[7] = "tab"
    with pytest.raises(CheckpointError, match=r"has 'lap' as entry 7, the one of 16 entries has 'tab'"):
        load_pretraining(folders[0], entries=[*mixed, "laptop"])
    assert np.array_equal(load_pretraining(folders[0], entries=OWN)[0].config.vocab_size, len(OWN))
