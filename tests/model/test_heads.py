import json
from pathlib import Path

import pytest
import torch

from bert_core.errors import CheckpointError
from bert_core.model.encoder import BertConfig
from bert_core.model.heads import build_model, classification_loss, load_fine_tuned, save_fine_tuned

CONFIG = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
FAMILIES = {
    "single_sentence": ("BertForSequenceClassification", ["neg", "neu", "pos"], 3),
    "sentence_pair": ("BertForSequenceClassification", ["no", "yes"], 2),
    "sequence_labelling": ("BertForTokenClassification", ["nr", "ns"], 5),
}


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    from tokenizers import BertWordPieceTokenizer

    folder = tmp_path / "vocabulary"
    folder.mkdir()
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + i) for i in range(35))]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    BertWordPieceTokenizer({entry: i for i, entry in enumerate(entries)}).save(str(folder / "tokenizer.json"))
    return folder


def _batch(family: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([8, 5, 3])
    ids = torch.randint(5, 40, (3, 8), generator=generator)
    ids[torch.arange(8) >= lengths[:, None]] = 0
    types = (torch.arange(8)[None] >= torch.tensor([4, 9, 9])[:, None]).long()
    if family != "sequence_labelling":
        return ids, types, lengths, torch.tensor([0, 2, 1] if family == "single_sentence" else [0, 1, 1])
    labels = torch.randint(0, 5, (3, 8), generator=generator)
    labels[torch.arange(8) >= lengths[:, None]] = -100
    labels[:, 0] = -100
    return ids, types, lengths, labels


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_folder_gives_the_same_logits_loss_and_gradients_in_transformers(family, tmp_path, vocabulary):
    import transformers

    oracle_name, labels, num_outputs = FAMILIES[family]
    model = build_model(family, CONFIG, labels, seed=3).eval()
    folder = tmp_path / "model"
    folder.mkdir()
    save_fine_tuned(folder, model, vocabulary, labels, max_tokens=128, card={"task": "demo"})

    oracle, info = getattr(transformers, oracle_name).from_pretrained(folder, output_loading_info=True)
    oracle.eval()
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert oracle.config.num_labels == num_outputs
    ids, types, lengths, gold = _batch(family)
    present = torch.arange(8) < lengths[:, None]
    theirs = oracle(input_ids=ids, token_type_ids=types, attention_mask=present.long(), labels=gold)
    ours = model(ids, types, lengths)
    if family == "sequence_labelling":
        torch.testing.assert_close(ours[present], theirs.logits[present], rtol=1e-4, atol=1e-6)
    else:
        torch.testing.assert_close(ours, theirs.logits, rtol=1e-4, atol=1e-6)
    loss = classification_loss(ours, gold)
    torch.testing.assert_close(loss, theirs.loss)
    loss.backward()
    theirs.loss.backward()
    torch.testing.assert_close(model.classifier.weight.grad, oracle.classifier.weight.grad, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(
        model.bert.embeddings.word_embeddings.weight.grad,
        oracle.bert.embeddings.word_embeddings.weight.grad,
        rtol=1e-3,
        atol=1e-6,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_folder_names_its_labels_and_loads_back(family, tmp_path, vocabulary):
    oracle_name, labels, num_outputs = FAMILIES[family]
    model = build_model(family, CONFIG, labels, seed=3).eval()
    save_fine_tuned(tmp_path, model, vocabulary, labels, max_tokens=64, card={})
    entries = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert entries["architectures"] == [oracle_name]
    assert len(entries["id2label"]) == num_outputs
    assert {entries["id2label"][str(index)]: index for index in range(num_outputs)} == entries["label2id"]
    loaded = load_fine_tuned(tmp_path)
    assert (loaded.labels, loaded.max_tokens, loaded.model.family) == (labels, 64, family)
    ids, types, lengths, _ = _batch(family)
    assert torch.equal(loaded.model(ids, types, lengths), model(ids, types, lengths))


def test_a_folder_that_transformers_wrote_loads(tmp_path):
    from transformers import BertConfig as TheirConfig
    from transformers import BertForSequenceClassification

    config = TheirConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    config.id2label = {0: "neg", 1: "pos"}
    config.label2id = {"neg": 0, "pos": 1}
    oracle = BertForSequenceClassification(config).eval()
    oracle.save_pretrained(tmp_path)
    loaded = load_fine_tuned(tmp_path)
    assert loaded.labels == ["neg", "pos"]
    ids, types, lengths, _ = _batch("single_sentence")
    mask = (torch.arange(8) < lengths[:, None]).long()
    theirs = oracle(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    torch.testing.assert_close(loaded.model(ids, types, lengths), theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"architectures": ["BertForPreTraining"]}, "BertForPreTraining"),
        ({"id2label": {"0": "O", "1": "I-x", "2": "B-x", "3": "B-y", "4": "I-y"}}, "expected"),
        ({"id2label": {"0": "O", "1": "B-x", "2": "I-x"}}, "do not fit"),
    ],
)
def test_a_folder_that_is_no_tagger_is_refused(entries, message, tmp_path, vocabulary):
    model = build_model("sequence_labelling", CONFIG, ["x", "y"], seed=3)
    save_fine_tuned(tmp_path, model, vocabulary, ["x", "y"], max_tokens=64, card={})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_fine_tuned(tmp_path)


def test_a_batch_without_scored_tokens_has_loss_zero():
    loss = classification_loss(torch.ones(1, 2, 3, requires_grad=True), torch.full((1, 2), -100))
    loss.backward()
    assert float(loss.detach()) == 0.0


@pytest.mark.parametrize("tags", ["bio", "bioes"])
def test_a_tagger_with_a_crf_loads_back_and_gives_its_token_scores_in_transformers(tags, tmp_path, vocabulary):
    from transformers import BertForTokenClassification

    model = build_model("sequence_labelling", CONFIG, ["x", "y"], seed=3, tags=tags, crf=True).eval()
    save_fine_tuned(tmp_path, model, vocabulary, ["x", "y"], max_tokens=64, card={}, tags=tags)
    loaded = load_fine_tuned(tmp_path)
    assert (loaded.labels, loaded.tags) == (["x", "y"], tags)
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight), name
    ids, types, lengths, _ = _batch("sequence_labelling")
    present = torch.arange(8) < lengths[:, None]
    oracle, info = BertForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    theirs = oracle.eval()(input_ids=ids, token_type_ids=types, attention_mask=present.long()).logits
    torch.testing.assert_close(model(ids, types, lengths)[present], theirs[present], rtol=1e-4, atol=1e-6)


def test_weighted_loss_is_that_of_torch_with_weights():
    model = build_model("single_sentence", CONFIG, ["a", "b"], seed=3)
    logits, labels = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([0, 1, 1])
    weights = torch.tensor([3.0, 0.5])
    nll = -logits.log_softmax(-1)[torch.arange(3), labels]
    expected = (nll * weights[labels]).sum() / weights[labels].sum()
    torch.testing.assert_close(model.loss(logits, labels, weights), expected)
