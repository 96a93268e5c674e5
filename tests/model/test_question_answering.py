import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config.tasks import AnswersConfig
from bert_core.errors import CheckpointError
from bert_core.model.encoder import BertConfig
from bert_core.model.heads import build_model, load_fine_tuned, save_fine_tuned
from bert_core.model.question_answering import BertForExtractiveQA, best_spans
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

CONFIG = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
LENGTHS = [8, 5, 3]
LABELS = torch.tensor([[4, 6], [0, 0], [1, 1]])


@pytest.fixture
def saved(tmp_path):
    """A model with random weights, and its folder."""
    vocabulary, folder = tmp_path / "vocabulary", tmp_path / "model"
    vocabulary.mkdir()
    folder.mkdir()
    write_vocabulary([*SPECIAL_ENTRIES, *(chr(0x4E00 + i) for i in range(35))], True, vocabulary)
    model = build_model("extractive_qa", CONFIG, [], seed=3).eval()
    settings_ = AnswersConfig(max_answer_tokens=7, no_answer_threshold=-1.5)
    save_fine_tuned(folder, model, vocabulary, [], max_tokens=64, card={"task": "demo"}, answers=settings_)
    return model, folder


def _batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 40, (3, 8), generator=generator)
    types = (torch.arange(8)[None] >= torch.tensor([3, 3, 2])[:, None]).long()
    return ids, types


def test_a_saved_folder_gives_the_same_logits_loss_and_gradients_in_transformers(saved):
    from transformers import BertForQuestionAnswering

    model, folder = saved
    oracle, info = BertForQuestionAnswering.from_pretrained(folder, output_loading_info=True)
    oracle.eval()
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids, types = _batch()
    theirs = oracle(input_ids=ids, token_type_ids=types, start_positions=LABELS[:, 0], end_positions=LABELS[:, 1])
    ours = model(ids, types, torch.tensor([8, 8, 8]))
    torch.testing.assert_close(ours[..., 0], theirs.start_logits, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours[..., 1], theirs.end_logits, rtol=1e-4, atol=1e-6)
    loss = model.loss(ours, LABELS)
    torch.testing.assert_close(loss, theirs.loss)
    loss.backward()
    theirs.loss.backward()
    torch.testing.assert_close(model.qa_outputs.weight.grad, oracle.qa_outputs.weight.grad, rtol=1e-3, atol=1e-6)
    words = [one.bert.embeddings.word_embeddings.weight.grad for one in (model, oracle)]
    torch.testing.assert_close(*words, rtol=1e-3, atol=1e-6)


def test_padding_changes_neither_logits_nor_loss(saved):
    model, _ = saved
    ids, types = _batch()
    together = model(ids, types, torch.tensor(LENGTHS))
    alone = [model(ids[row : row + 1, :size], types[row : row + 1, :size]) for row, size in enumerate(LENGTHS)]
    for row, size in enumerate(LENGTHS):
        torch.testing.assert_close(together[row, :size], alone[row][0], rtol=1e-4, atol=1e-6)
    losses = [model.loss(logits, LABELS[row : row + 1]) for row, logits in enumerate(alone)]
    torch.testing.assert_close(model.loss(together, LABELS), torch.stack(losses).mean())


def test_a_saved_folder_loads_back_with_how_answers_are_sought(saved):
    model, folder = saved
    loaded = load_fine_tuned(folder)
    assert isinstance(loaded.model, BertForExtractiveQA)
    assert (loaded.labels, loaded.max_tokens) == ([], 64)
    assert loaded.answers == AnswersConfig(max_answer_tokens=7, no_answer_threshold=-1.5)
    ids, types = _batch()
    assert torch.equal(loaded.model(ids, types), model(ids, types))
    path = folder / "config.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(entries | {"answers": {"num_best": 0}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="num_best"):
        load_fine_tuned(folder)
    del entries["answers"]
    path.write_text(json.dumps(entries), encoding="utf-8")
    assert load_fine_tuned(folder).answers == AnswersConfig()


def test_best_spans_of_the_worked_case():
    logits = torch.tensor([[[0.0, 0.0], [3.0, 1.0], [1.0, 2.0]]])
    everywhere = torch.ones(1, 3, dtype=torch.bool)
    sums, firsts, lasts = best_spans(logits, everywhere, everywhere, 2, 3)
    assert sums.tolist() == [[5.0, 4.0, 3.0]]
    assert list(zip(firsts[0].tolist(), lasts[0].tolist(), strict=True)) == [(1, 2), (1, 1), (2, 2)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_best_spans_are_those_of_a_search_through_all(num_positions, max_answer_tokens, num_best, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_positions, 2, generator=generator)
    begins, ends = (torch.rand(2, 2, num_positions, generator=generator) < 0.7).unbind(0)
    sums, firsts, lasts = best_spans(logits, begins, ends, max_answer_tokens, num_best)
    for row in range(2):
        allowed = [
            (float(logits[row, i, 0] + logits[row, j, 1]), i, j)
            for i in range(num_positions)
            for j in range(i, min(num_positions, i + max_answer_tokens))
            if begins[row, i] and ends[row, j]
        ]
        expected = sorted(allowed, reverse=True)[:num_best]
        found = [
            one
            for one in zip(sums[row].tolist(), firsts[row].tolist(), lasts[row].tolist(), strict=True)
            if one[0] > -torch.inf
        ]
        assert found == expected
