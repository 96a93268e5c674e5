"""What a fine-tuning begins with: the model with its first weights, what of it is frozen, examples that fit the task.

Source: frozen layers as in Lee, Tang and Lin 2019 (arXiv:1911.03090).
"""

import json
from dataclasses import replace

import numpy as np

from bert_core.errors import CheckpointError, RequestError, TaskDataError
from bert_core.examples.labelled import LABELS_NAME
from bert_core.model.encoder import BertConfig
from bert_core.model.exchange import load_encoder, read_config, resolve_folder
from bert_core.model.growth import pieces_of_new_entries
from bert_core.model.heads import FineTuneModel, build_model, output_names
from bert_core.randomness import seed_of
from bert_core.tokens.vocabulary_files import load_vocabulary
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.inference import scored
from bert_core.training.labelled_batches import LabelledExamples


def starting_model(job: FineTuneJob, vocabulary_size: int, pad_id: int) -> FineTuneModel:
    """Build the model with its first weights: the start's encoder, or random ones; the head is drawn from the seed.

    The head's weights depend on the seed alone, so every start of a comparison begins with the same head.

    Raises:
        RequestError: the start does not exist.
        CheckpointError: it is no BERT, or its vocabulary has another size.
    """
    dropout = job.task.fine_tune.dropout
    dropout = job.model.dropout if dropout is None else dropout
    shape_of = job.start if job.start is not None else job.like
    if shape_of is None:
        config = BertConfig.of(job.model, vocabulary_size, dropout=dropout, pad_token_id=pad_id)
    else:
        config = read_config(resolve_folder(shape_of), dropout=dropout)
        entries = load_vocabulary(job.vocabulary_folder)
        if pieces_of_new_entries(resolve_folder(shape_of), entries):
            config = replace(config, vocab_size=max(config.vocab_size, vocabulary_size))
        if config.vocab_size != vocabulary_size:
            raise CheckpointError(
                f"{shape_of}: a vocabulary of {config.vocab_size} entries, expected the {vocabulary_size} of "
                f"{job.vocabulary_folder}; start from a model of this vocabulary"
            )
    model = build_model(
        job.task.family,
        config,
        job.task.labels,
        seed_of(job.seed, "fine_tune", "weights"),
        tags=job.task.fine_tune.tags,
        crf=job.task.fine_tune.crf,
    )
    if job.start is not None:
        seed = seed_of(job.seed, "fine_tune", "weights")
        encoder, _ = load_encoder(job.start, dropout=dropout, seed=seed, entries=load_vocabulary(job.vocabulary_folder))
        wanted = model.bert.state_dict().keys()  # a tagger has no pooler
        model.bert.load_state_dict({name: value for name, value in encoder.state_dict().items() if name in wanted})
    if job.task.fine_tune.frozen_layers is not None:
        freeze(model, job.task.fine_tune.frozen_layers)
    return model


def freeze(model: FineTuneModel, num_layers: int) -> None:
    """Keep the embeddings and the lowest layers out of training.

    Raises:
        RequestError: the encoder has fewer layers.
    """
    layers = model.bert.encoder.layer
    if num_layers > len(layers):
        raise RequestError(f"fine_tune.frozen_layers is {num_layers}, expected at most the {len(layers)} of the model")
    for part in (model.bert.embeddings, *(layers[index] for index in range(num_layers))):
        part.requires_grad_(False)


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Weigh classes by the inverse of their share, so that the weights of all examples average 1; float32.

    Example: labels `[0, 0, 0, 1]` of 2 classes -> `[0.667, 2.0]`. A class that does not occur has weight 0.

    Source: King and Zeng 2001, as in scikit-learn's `compute_class_weight("balanced")`.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)


def check_examples(job: FineTuneJob, splits: dict[str, LabelledExamples]) -> None:
    """Refuse examples that do not belong to the task."""
    path = job.labelled_folder / LABELS_NAME
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    labels = content.get("labels", job.task.labels)
    if labels != job.task.labels:
        raise TaskDataError(
            f"{path}: labels {labels}, expected the task's {job.task.labels} in this order; build it again"
        )
    names = output_names(job.task.family, job.task.labels, job.task.fine_tune.tags)
    if content.get("tags", names) != names:
        raise TaskDataError(f"{path}: tags {content['tags']}, expected the task's {names}; build it again")
    num_outputs = len(names)
    if splits["train"].num_examples == 0:
        raise TaskDataError(f"{job.labelled_folder}: no training examples; give the task labelled records")
    for split, examples in splits.items():
        is_class = job.task.family != "sequence_labelling"
        if job.task.family == "extractive_qa":
            num_outputs = int(examples.lengths.max(initial=0))  # an answer is where it begins and ends
        values = examples.labels if is_class else examples.token_labels[scored(examples)]
        is_short = not is_class and len(examples.token_labels) != len(examples.input_ids)
        is_short |= (job.task.family == "extractive_qa") != (examples.questions is not None)
        if is_short or (len(values) and (values.min() < 0 or values.max() >= num_outputs)):
            raise TaskDataError(
                f"{job.labelled_folder}: labels of {split} are not those of family {job.task.family!r} with labels "
                f"{job.task.labels}; build the labelled examples again"
            )
