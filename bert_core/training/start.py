"""The model that a transfer stage begins from: random weights, or a folder with what it lacks drawn anew."""

import logging

from bert_core.errors import CheckpointError
from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.exchange import load_pretraining
from bert_core.model.pretraining import BertForPretraining
from bert_core.tokens.vocabulary_files import load_vocabulary
from bert_core.training.job import TransferJob

_log = logging.getLogger(__name__)


def start_model(job: TransferJob) -> tuple[BertForPretraining, str]:
    """Return the model to start from and one line on where it came from."""
    entries = load_vocabulary(job.vocabulary_folder)
    num_entries = len(entries)
    dropout = job.transfer.dropout if job.transfer.dropout is not None else job.model.dropout
    with_spans = job.transfer.span_boundary
    if job.start is None:
        config = BertConfig.of(job.model, num_entries, dropout=dropout)
        model = BertForPretraining(config, with_span_boundary=with_spans)
        initialise(model, job.seed, config.initializer_range)
        report = "random weights"
    else:
        model, loaded = load_pretraining(
            job.start, dropout=dropout, seed=job.seed, with_span_boundary=with_spans, entries=entries
        )
        config = model.config
        report = f"{loaded.num_loaded} tensors read, {len(loaded.fresh)} drawn anew, {len(loaded.unused)} unused"
        if loaded.num_new_entries:
            report += f", {loaded.num_new_entries} new entries begun from their pieces"
        for name in loaded.fresh:
            _log.warning("%s lacks %s; it is drawn anew", job.start, name)
        if config.vocab_size < num_entries:
            raise CheckpointError(
                f"{job.start}: {config.vocab_size} token embeddings, but the vocabulary has {num_entries} entries; "
                "take the vocabulary of that model"
            )
    long = job.transfer.long_phase
    setting = "examples.max_tokens" if long is None else "long_phase.max_tokens"
    max_tokens = job.transfer.examples.max_tokens if long is None else long.max_tokens
    if max_tokens > config.max_position_embeddings:
        raise CheckpointError(
            f"examples of {max_tokens} tokens, but the model knows {config.max_position_embeddings} positions; "
            f"lower {setting}"
        )
    return model, report
