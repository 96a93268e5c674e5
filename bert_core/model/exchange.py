"""Model folders in the layout of transformers, written and read.

Writing: config.json, model.safetensors, README.md and the files of the vocabulary; `from_pretrained` reads them as
they are. Reading: any BERT folder or hub name that transformers itself would read, with its dialects: names with or
without `bert.`, `gamma`/`beta` for layer norms, stored position ids, heads that are missing. What was loaded, drawn
anew and left unused is reported, never passed over in silence. Wrong shapes are refused, and so are pickled weights
(`pytorch_model.bin`), because reading a pickle runs code from the file.

Source: transformers 5, models/bert/modeling_bert.py and configuration_bert.py.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bert_core.errors import CheckpointError, RequestError
from bert_core.model.encoder import BertConfig, BertEncoder, initialise
from bert_core.model.growth import grow_weights, pieces_of_new_entries
from bert_core.model.pretraining import BertForPretraining
from bert_core.tokens.vocabulary_files import load_vocabulary

ARCHITECTURES = {
    "encoder": "BertModel",
    "pretraining": "BertForPreTraining",
    "single_sentence": "BertForSequenceClassification",
    "sentence_pair": "BertForSequenceClassification",
    "sequence_labelling": "BertForTokenClassification",
    "extractive_qa": "BertForQuestionAnswering",
}
"""Kind of model -> the class of transformers that reads its folder."""

VOCABULARY_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
SPAN_BOUNDARY_FILE = "span_boundary.safetensors"
"""Weights of the span-boundary head, apart from model.safetensors because transformers has no such head."""
_SPAN_BOUNDARY = "span_boundary."
_MADE_ELSEWHERE = re.compile(r"position_ids$|^cls\.predictions\.decoder\.")  # computed, or tied to another


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What became of the weights when a folder was read."""

    source: str
    """Folder or hub name, as asked for."""
    num_loaded: int
    """Tensors taken from the folder."""
    fresh: list[str]
    """Parameters that the folder lacks, drawn anew."""
    unused: list[str]
    """Tensors of the folder that the model has no place for."""
    num_new_entries: int = 0
    """Entries of the vocabulary that the folder lacks, begun from their pieces."""


def save_model(
    folder: Path,
    model: nn.Module,
    vocabulary_folder: Path,
    *,
    kind: str,
    card: Mapping[str, Any],
    dtype: Literal["float32", "float16"] = "float32",
    config_entries: Mapping[str, Any] | None = None,
) -> None:
    """Write `model` as a folder that transformers reads.

    Args:
        folder: an existing folder.
        model: a module with `config` and an encoder (itself, or as `bert`).
        vocabulary_folder: holds vocab.txt and tokenizer.json.
        kind: key of `ARCHITECTURES`.
        card: what the model card says, heading -> value; plain JSON values.
        dtype: of the stored weights; float16 halves the file and rounds the weights.
        config_entries: more entries of config.json, such as `id2label`.

    Raises:
        CheckpointError: the vocabulary folder lacks a file, or a weight does not fit float16.
    """
    config: Any = model.config
    stored = getattr(torch, dtype)
    weights = {name: tensor.to(stored) for name, tensor in to_transformers(model.state_dict()).items()}
    broken = [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(f"{folder}: weights {broken[:3]} are not finite as {dtype}; nothing saved")
    apart = {name: weights.pop(name) for name in list(weights) if name.startswith(_SPAN_BOUNDARY)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if apart:
        save_file(apart, folder / SPAN_BOUNDARY_FILE, metadata={"format": "pt"})
    entries = {
        **asdict(config),
        "architectures": [ARCHITECTURES[kind]],
        "model_type": "bert",
        "hidden_act": "gelu",
        "dtype": dtype,
        "tie_word_embeddings": True,
        **(config_entries or {}),
    }
    _write_json(folder / "config.json", entries)
    for name in VOCABULARY_FILES:
        source = vocabulary_folder / name
        if source.is_file():
            shutil.copyfile(source, folder / name)
        elif name != "tokenizer_config.json":
            raise CheckpointError(f"{source}: missing; a model folder needs its vocabulary")
    (folder / "README.md").write_text(_card_text(kind, card), encoding="utf-8")


def load_pretraining(
    folder_or_name: str | Path,
    *,
    dropout: float | None = None,
    seed: int = 0,
    with_span_boundary: bool = False,
    entries: Sequence[str] | None = None,
) -> tuple[BertForPretraining, LoadReport]:
    """Read a BERT folder or hub name with its pretraining heads; heads that it lacks are drawn anew.

    Args:
        folder_or_name: a folder, or a name on the Hugging Face hub.
        dropout: replaces the stored probabilities, 0 to 1; None keeps them.
        seed: key of what is drawn anew.
        with_span_boundary: give the model the head of the span-boundary objective.
        entries: of a vocabulary that begins with that of the folder and may have grown (`growth.py`).

    Raises:
        RequestError: there is no such folder and the hub does not give it.
        CheckpointError: the folder holds no BERT that this encoder can be, or the entries are not its own.
    """
    folder = resolve_folder(folder_or_name)
    config, pieces = _grown(folder, read_config(folder, dropout=dropout), entries)
    model = BertForPretraining(config, with_span_boundary=with_span_boundary)
    initialise(model, seed, model.config.initializer_range)
    return model, _load(model, folder, str(folder_or_name), pieces)


def load_encoder(
    folder_or_name: str | Path, *, dropout: float | None = None, seed: int = 0, entries: Sequence[str] | None = None
) -> tuple[BertEncoder, LoadReport]:
    """Read the encoder alone; arguments and errors as `load_pretraining`."""
    folder = resolve_folder(folder_or_name)
    config, pieces = _grown(folder, read_config(folder, dropout=dropout), entries)
    encoder = BertEncoder(config)
    initialise(encoder, seed, encoder.config.initializer_range)
    return encoder, _load(encoder, folder, str(folder_or_name), pieces)


def load_into(model: nn.Module, folder_or_name: str | Path) -> LoadReport:
    """Read a folder's weights into a model with an encoder as `bert` and any head; errors as above."""
    return _load(model, resolve_folder(folder_or_name), str(folder_or_name))


def resolve_folder(folder_or_name: str | Path) -> Path:
    """Return the folder itself, or that of a hub name after download.

    Raises:
        RequestError: neither is to be had.
    """
    folder = Path(folder_or_name)
    if folder.is_dir():
        return folder
    name = str(folder_or_name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise RequestError(f"model folder {name!r} does not exist")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except Exception as error:  # the hub client raises errors of five libraries, none of which we can mend
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RequestError(
            f"model {name!r} is no folder, and the hub did not give it ({type(error).__name__}: {reason}); "
            "give the path of a folder, or run where the hub or its cache can be reached"
        ) from error


def read_config(folder: Path, *, dropout: float | None = None) -> BertConfig:
    """Read config.json of a BERT folder.

    Raises:
        CheckpointError: it is missing or damaged, or names a model that this encoder cannot be.
    """
    path = folder / "config.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; expected a model folder as transformers writes it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    required = {
        "model_type": ("bert",),
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
    }
    for key, allowed in required.items():
        if entries.get(key, allowed[0]) not in allowed:
            raise CheckpointError(f"{path}: {key} is {entries[key]!r}, expected {allowed[0]!r}")
    known = {part.name for part in fields(BertConfig)}
    try:
        config = BertConfig(**{key: entries[key] for key in known & entries.keys() if entries[key] is not None})
    except TypeError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if dropout is not None:
        config = replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    return config


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our weights to transformers' names: each qkv becomes query, key and value."""
    weights: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".self.qkv." in name:
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                weights[name.replace(".qkv.", f".{part}.")] = piece.contiguous()
        else:
            weights[name] = tensor.contiguous()
    return weights


def from_transformers(weights: Mapping[str, Tensor], has_bert_prefix: bool) -> dict[str, Tensor]:
    """Rename weights of any dialect to ours, float32; stored position ids and tied copies are left out.

    Args:
        weights: as stored.
        has_bert_prefix: the model that takes them keeps its encoder under `bert.`.
    """
    state: dict[str, Tensor] = {}
    for stored_name, tensor in weights.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", stored_name))
        if _MADE_ELSEWHERE.search(name):
            continue
        is_encoder = re.match(r"(bert\.)?(embeddings|encoder|pooler)\.", name)
        if is_encoder:
            name = ("bert." if has_bert_prefix else "") + name.removeprefix("bert.")
        state[name] = tensor.float()
    for name in [name for name in state if ".attention.self.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in state for part in parts):
            state[name.replace(".query.", ".qkv.")] = torch.cat([state.pop(part) for part in parts])
    return state


def _grown(folder: Path, config: BertConfig, entries: Sequence[str] | None) -> tuple[BertConfig, list[list[int]]]:
    """Return the sizes of a model for `entries` and the pieces of those that the folder lacks."""
    pieces = pieces_of_new_entries(folder, entries) if entries is not None else []
    vocab_size = config.vocab_size if entries is None else max(config.vocab_size, len(entries))
    return (replace(config, vocab_size=vocab_size) if pieces else config), pieces


def _load(model: nn.Module, folder: Path, source: str, pieces: Sequence[Sequence[int]] = ()) -> LoadReport:
    """Copy the weights of `folder` into `model`, whose parameters must be initialised, grown by entries of `pieces`."""
    has_bert_prefix = not isinstance(model, BertEncoder)
    state = from_transformers(_read_weights(folder), has_bert_prefix)
    own = model.state_dict()
    if any(name.startswith(_SPAN_BOUNDARY) for name in own) and (folder / SPAN_BOUNDARY_FILE).is_file():
        state |= {name: tensor.float() for name, tensor in _read_file(folder / SPAN_BOUNDARY_FILE).items()}
    if pieces:
        state = grow_weights(state, len(load_vocabulary(folder)), pieces)
    wrong = [
        f"  {name}: {tuple(state[name].shape)} in the folder, {tuple(own[name].shape)} in the model"
        for name in own.keys() & state.keys()
        if state[name].shape != own[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{folder}: {len(wrong)} weights do not fit\n" + "\n".join(sorted(wrong)))
    fresh = [name for name in own if name not in state]
    in_encoder = [name for name in fresh if re.match(r"(bert\.)?(embeddings|encoder)\.", name)]
    if in_encoder:
        raise CheckpointError(
            f"{folder}: the encoder lacks {len(in_encoder)} weights, such as {in_encoder[0]}; "
            "is it another kind of model, or cut off?"
        )
    model.load_state_dict({name: state[name] for name in own if name in state}, strict=False)
    return LoadReport(
        source=source,
        num_loaded=len(own) - len(fresh),
        fresh=fresh,
        unused=[name for name in state if name not in own],
        num_new_entries=len(pieces),
    )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """Read one or several safetensors files."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    try:
        if single.is_file():
            return load_file(single)
        if index.is_file():
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            weights: dict[str, Tensor] = {}
            for name in names:
                weights |= load_file(folder / Path(name).name)
            return weights
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: weights are damaged ({error}); fetch the folder again") from error
    if (folder / "pytorch_model.bin").is_file():
        raise CheckpointError(
            f"{folder}: only pytorch_model.bin, a pickle, which can run code when read; "
            "convert it to model.safetensors with transformers' save_pretrained"
        )
    raise CheckpointError(f"{folder}: no model.safetensors")


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); build or fetch the folder again") from error


def _write_json(path: Path, entries: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(entries, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _card_text(kind: str, card: Mapping[str, Any]) -> str:
    """Write the model card: YAML head, one table of the card's entries."""
    lines = ["---", "library_name: transformers", "tags: [bert, bertline]", "---", ""]
    lines += [f"# BERT, {kind.replace('_', ' ')}", "", "| | |", "|---|---|"]
    for key, value in card.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        cell = text.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {key} | {cell} |")
    return "\n".join(lines) + "\n"
