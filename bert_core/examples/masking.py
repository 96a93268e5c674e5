"""Which tokens of an example are hidden: six policies as pure functions, drawn when a batch is read.

A mask is a function of (seed, epoch, example id) and the policy. Batch size, batch order, worker and shard have no
part in it, so a run that resumes draws what it would have drawn, and nothing about masks is stored.

Every policy hides `max(1, round(mlm_probability * maskable))` tokens of each example (Python's round, half to even; 0
where nothing is maskable). Maskable is every token but the special ones and `[UNK]`. What is hidden:

| policy | unit | source |
|---|---|---|
| `token` | single tokens, exactly the budget | Devlin et al. 2019 |
| `whole_word` | words in random order | Cui et al. 2021 |
| `ngram` | 1 to 4 adjoining words, drawn 40/30/20/10 % | Cui et al. 2020 (MacBERT) |
| `span` | 1 to 10 adjoining words, geometric p = 0.2; 80/10/10 drawn once a span | Joshi et al. 2020 (SpanBERT) |
| `similar_word` | as `ngram`; a similar word in place of `[MASK]`, drawn for each word | Cui et al. 2020 (MacBERT) |
| `entity` | entities, then words of several tokens up to half the budget; the rest by word | Sun et al. 2019 (ERNIE) |

All but `token` never split a word (`[UNK]` pieces of a chosen word stay visible):

- A word that would exceed what is left of the budget is skipped, a longer run of words is shortened until it fits. All
  words are tried, so the count falls short of the budget by less than the shortest word that was left out.
- Where every word is longer than the budget, the shortest one is hidden whole, and the budget is exceeded.
- Where the example is one single word longer than the budget, `budget` neighbouring tokens of it are hidden: the only
  case that splits a word, because hiding all of an example would leave nothing to predict from.

Runs of words end at special tokens and at `[UNK]`. An entity whose borders fall inside words takes these words whole;
an example without entities is masked exactly as by `whole_word`. What a hidden token becomes (80 % `[MASK]`, 10 % a
random token of the pool, 10 % itself) is drawn for each token, but for `span` and `similar_word`.

Under `similar_word` a hidden word becomes, 80 % of the time, one of the words of as many tokens that the thesaurus has
as similar to it; where it knows none, and 10 % of the time in any case, a random word of the thesaurus of as many
tokens (where it has none of that length, random tokens of the pool); 10 % of the time it stays. `[MASK]` is never
shown.

This file does not touch labels or padding; `training` does.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bert_core.config import MaskingConfig
from bert_core.corpus.paths import find_file
from bert_core.errors import RequestError
from bert_core.examples.thesaurus import SimilarWords
from bert_core.randomness import key_of

if TYPE_CHECKING:
    from bert_core.examples.reader import RaggedExamples
    from bert_core.tokens.tokenizer import WordPieceTokenizer


@dataclass(frozen=True)
class MaskVocabulary:
    """What masking must know of a vocabulary."""

    mask_id: int
    """Id of `[MASK]`."""
    special_ids: np.ndarray
    """Ids that are never hidden: `[PAD]`, `[CLS]`, `[SEP]`, `[MASK]`; integers, shape (num_special,)."""
    unk_id: int
    """Id of `[UNK]`, never hidden either: it cannot be predicted from anything."""
    pool: np.ndarray
    """Ids that random tokens are drawn from, uint32, shape (num_pool,), not empty."""
    similar: SimilarWords | None = None
    """Words that are similar to each other; only `similar_word` needs them."""

    @classmethod
    def from_folder(cls, vocabulary_folder: Path, masking: MaskingConfig | None = None) -> "MaskVocabulary":
        """Read the special ids and the replacement pool of a vocabulary, and the thesaurus of the masking if any.

        Args:
            vocabulary_folder: holds vocab.txt.
            masking: whose thesaurus is read; a relative path starts where the command runs.

        Raises:
            RequestError: there is no usable vocabulary or thesaurus.
        """
        from bert_core.tokens.tokenizer import WordPieceTokenizer

        return cls.of(WordPieceTokenizer.from_folder(vocabulary_folder), masking)

    @classmethod
    def of(cls, tokenizer: "WordPieceTokenizer", masking: MaskingConfig | None = None) -> "MaskVocabulary":
        """Take the same from a tokenizer that is open already."""
        special = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
        return cls(
            mask_id=tokenizer.mask_id,
            special_ids=np.array(special, np.int64),
            unk_id=tokenizer.unk_id,
            pool=np.asarray(tokenizer.replacement_pool(), np.uint32),
            similar=_similar_words(masking, tokenizer) if masking is not None else None,
        )

    @cached_property
    def unmaskable(self) -> np.ndarray:
        """True at ids that are never hidden, bool, shape (largest such id + 1,); later ids are maskable."""
        ids = np.append(np.asarray(self.special_ids, np.int64), self.unk_id)
        table = np.zeros(int(ids.max()) + 1, np.bool_)
        table[ids] = True
        return table


def _similar_words(masking: MaskingConfig, tokenizer: "WordPieceTokenizer") -> SimilarWords | None:
    if masking.thesaurus is None:
        return None
    return SimilarWords.read(find_file(masking.thesaurus, Path.cwd(), "masking.thesaurus").path, tokenizer)


def mask_examples(
    examples: "RaggedExamples", seed: int, epoch: int, masking: MaskingConfig, vocabulary: MaskVocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Mask rows as they were read: `mask_batch` on their columns, with its arguments and its result."""
    return mask_batch(
        examples.input_ids,
        examples.offsets,
        examples.word_starts,
        examples.entity_starts,
        examples.entity_lengths,
        examples.entity_offsets,
        examples.example_ids,
        seed,
        epoch,
        masking,
        vocabulary,
    )


def mask_batch(
    input_ids: np.ndarray,
    offsets: np.ndarray,
    word_starts: np.ndarray,
    entity_starts: np.ndarray,
    entity_lengths: np.ndarray,
    entity_offsets: np.ndarray,
    example_ids: np.ndarray,
    seed: int,
    epoch: int,
    masking: MaskingConfig,
    vocabulary: MaskVocabulary,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide tokens of a batch of examples that lie one after the other.

    Example: an example of 100 maskable tokens under `token` and 0.15 has exactly 15 targets.

    Args:
        input_ids: tokens of all examples, special ones included, int32, shape (num_tokens,).
        offsets: first token of each example and the end, int64, shape (num_examples + 1,).
        word_starts: 1 where a word begins, uint8, shape (num_tokens,); a special token is a word of its own.
        entity_starts: first token of each entity, counted from its example's first token, int32.
        entity_lengths: tokens of each entity, int32.
        entity_offsets: first entity of each example and the end, int64, shape (num_examples + 1,).
        example_ids: uint64, shape (num_examples,).
        seed: of the run.
        epoch: pass over the examples, from 0; another epoch draws other masks.
        masking: policy, probability and shares.
        vocabulary: special ids and replacement pool.

    Returns:
        `masked_ids`, int32, shape (num_tokens,), what the model reads; and `is_target`, uint8, shape (num_tokens,), 1
        where it must predict `input_ids`.

    Raises:
        RequestError: the policy is `similar_word` and `vocabulary` was read without its thesaurus.
    """
    from bert_core.examples import masking_kernels

    if masking.policy == "similar_word" and vocabulary.similar is None:
        raise RequestError("masking.policy similar_word: the vocabulary was read without masking.thesaurus; hand it on")
    input_ids, word_starts = np.ascontiguousarray(input_ids, np.int32), np.asarray(word_starts, np.uint8)
    example_ids, key = np.asarray(example_ids, np.uint64), key_of(seed, "masks", epoch)
    masked_ids = input_ids.copy()
    is_target = np.zeros(len(input_ids), np.uint8)
    offsets = np.asarray(offsets, np.int64)
    kernel_inputs = (
        input_ids,
        offsets,
        int(np.diff(offsets).max(initial=0)),
        example_ids,
        key,
        masking.mlm_probability,
        masking_kernels.Replacement(
            masking.mask_share, masking.random_share, vocabulary.mask_id, np.asarray(vocabulary.pool, np.uint32)
        ),
        vocabulary.unmaskable,
    )
    if masking.policy == "token":
        masking_kernels.mask_tokens(*kernel_inputs, masked_ids, is_target)
    else:
        masking_kernels.mask_words(
            *kernel_inputs,
            masking_kernels.WORD_POLICIES.index("ngram" if masking.policy == "similar_word" else masking.policy),
            word_starts,
            np.asarray(entity_starts, np.int32),
            np.asarray(entity_lengths, np.int32),
            np.asarray(entity_offsets, np.int64),
            masked_ids,
            is_target,
        )
    if masking.policy == "similar_word" and vocabulary.similar is not None:
        from bert_core.examples import similar_kernels

        words = vocabulary.similar
        similar_kernels.replace_words(
            input_ids,
            offsets,
            word_starts,
            example_ids,
            key,
            masking.mask_share,
            masking.random_share,
            np.asarray(vocabulary.pool, np.uint32),
            words.tokens,
            words.offsets,
            words.first_of_length,
            words.similar,
            words.similar_offsets,
            is_target,
            masked_ids,
        )
    return masked_ids, is_target
