"""Tokens to pretraining examples: sentence pairs (nsp, sop), or packed sentences without a pair (none).

Documents are divided into `train` and `held_out`; the rules for both are the same. Per example (so that a document
never gives short examples alone) a target length is drawn: `max_tokens - 3`, or with `short_sequence_probability` a
number from 2 to that. Then, walking along a document as the reference does:

1. Sentences are taken until the target is reached or the next one does not fit, two at least. A lone last sentence
   becomes an example without pair.
2. A is the first of them up to a drawn sentence boundary.
3. "next" (0): B is the rest. "random" (1): B comes from another document, begins at a sentence, and has about the
   length of the rest, so that length does not give the label away; the rest is put back and walked over next.
4. Two sentences that do not fit together are cut to `max_tokens`, from the longer side: from A at its front, from B at
   its back, so that a "next" B always adjoins its A, and every B begins at a sentence. These `cut_tokens` are counted;
   all other tokens of a document come in every round, in their order.

For sentence order (sop) both sides are as in a "next" pair, and label 1 swaps them. Nothing but the order tells the
labels apart: a pair that is too long is cut after the swap, both sides at their back, and where both sides are the same
text there is no pair.

Labels are no coin flips: of the pairs 2k and 2k + 1 one has label 1, by a keyed draw which. So half of the pairs are
random (or swapped) after every document, exactly or but for one. A random B is proved: its document's id differs, and
it does not begin with the sentence that follows A. It is looked for in the same group of documents, which is one shard
of tokens (a shard with fewer than two documents to train on joins its neighbour), so memory is bounded by a shard;
held-out documents of all shards are one group.

A sentence longer than `max_tokens - 3` is cut at words into even pieces of at most half of that; pieces are walked over
like sentences, and B may then begin at a piece, but only where it is the true one. Duplicates of a document, where the
corpus keeps them, draw on their own.

What the reference does and this does not: a short chunk is always random there (so short documents give no honest
label), its tenth try at another document may be the same document, sentences are taken until they are too many and then
cut (an eighth of a text in sentences of 40 tokens is lost so), often where A and B meet, and the target is drawn once
for a document.

Source: Devlin et al. 2019 (arXiv:1810.04805), create_pretraining_data.py; Liu et al. 2019 (arXiv:1907.11692)
DOC-SENTENCES for examples without pairs; Lan et al. 2020 (arXiv:1909.11942) for sentence order; Shoeybi et al. 2019
(arXiv:1909.08053) for the target drawn anew.
"""

import json
from pathlib import Path

from bert_core.config import ExamplesConfig
from bert_core.errors import CorpusError
from bert_core.examples.set_builder import SetBuilder
from bert_core.examples.sources import schema_of, unknown_characters_of, write_sources
from bert_core.examples.token_documents import DocumentIndex, is_held_out
from bert_core.progress import Progress, silent
from bert_core.store.shards import shard_paths, write_shards
from bert_core.tokens.ordered_threads import available_threads

_NO_PAIRS = "set examples.objective: none"


def build_examples(
    tokens_folder: Path,
    vocabulary_folder: Path,
    examples: ExamplesConfig,
    seed: int,
    folder: Path,
    progress: Progress = silent,
    num_threads: int | None = None,
) -> dict:
    """Write `train-*.arrow` (rounds in order), `held_out-*.arrow` (round 0 alone), `sources-*.arrow`, `audit.json`.

    Args:
        tokens_folder: holds `tokens-*.arrow`.
        vocabulary_folder: vocabulary of these tokens.
        examples: lengths, pairing and division.
        seed: of the run.
        folder: empty folder to write into.
        progress: told of documents walked over.
        num_threads: threads that copy examples out, empty for all processors; the result does not depend on it.

    Returns:
        Plain JSON values by set: documents, examples, pairs, next (or in order), random, swapped, single, tokens,
        cut_tokens, without_negative, rounds, bytes, bytes_a_round (disk for each round), for `train` and `held_out`.

    Raises:
        CorpusError: no tokens; no honest negative or no pair to be had for the objective; or a hard threshold of the
            audit fails (`examples.audit`, and what is no setting).
    """
    from bert_core.examples.audit import audit_examples
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    objective, num_threads = examples.objective, num_threads or available_threads()
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    index = DocumentIndex.read(tokens_folder)
    if not len(index.doc_ids):
        raise CorpusError(f"{tokens_folder}: no document has tokens; check the corpus and its filters")
    held_out = is_held_out(index.doc_ids, examples.held_out_fraction, seed, at_least=2 if objective == "nsp" else 1)
    train = index.select(~held_out)
    if objective == "nsp" and train.num_distinct < 2:
        raise CorpusError(
            f"{tokens_folder}: {train.num_distinct} document to train on, expected at least 2, because a random next "
            f"sentence must come from another document; give more documents, or {_NO_PAIRS}"
        )
    write_sources(index, folder)
    sets = {"train": (train, examples.pairing_rounds), "held_out": (index.select(held_out), 1)}
    total = sum(len(documents.doc_ids) * num_rounds for documents, num_rounds in sets.values())
    walked, counts = 0, {}

    def advance(num_documents: int) -> None:
        nonlocal walked
        walked += num_documents
        progress(walked, total, "documents")

    for name, (documents, num_rounds) in sets.items():
        builder = SetBuilder(examples, seed, name, tokenizer, schema_of(index, tokenizer), advance, num_threads)
        groups = documents.by_shard() if name == "train" else [documents] if len(documents.doc_ids) else []
        write_shards(folder, name, builder.schema, builder.tables(groups, num_rounds))
        num_bytes = sum(path.stat().st_size for path in shard_paths(folder, name))
        counts[name] = {"documents": len(documents.doc_ids)} | builder.counts_by_name()
        counts[name] |= {"rounds": num_rounds, "bytes": num_bytes, "bytes_a_round": round(num_bytes / num_rounds)}
    if objective != "none" and counts["train"]["pairs"] == 0:
        raise CorpusError(
            f"{tokens_folder}: no pair of sentences among {len(train.doc_ids)} documents, expected documents of two "
            f"sentences and texts that differ; check the corpus format, or {_NO_PAIRS}"
        )
    unknown = unknown_characters_of(tokens_folder)
    audit = audit_examples(folder, tokenizer, objective, unknown, num_threads, examples.audit)
    (folder / "audit.json").write_text(json.dumps(audit, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    hard = [fault for fault in audit["faults"] if fault["is_hard"]]
    if hard:
        told = "; ".join(f"{fault['subject']}: {fault['got']}, expected {fault['expected']}" for fault in hard)
        raise CorpusError(f"{tokens_folder}: its examples fail the audit: {told}; see {folder / 'audit.json'}")
    return counts
