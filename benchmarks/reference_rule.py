"""google-research/bert's own choices, draw for draw: what bertline's pairs and masks are compared with.

    python -m benchmarks.reference_rule        writes tests/examples/golden/reference_pairs.json anew

The rule is re-stated from `create_pretraining_data.py`, with its draws in its order, so that one seed gives the very
instances that the original gives for the same tokens. No code is taken. bertline itself never uses this file.

For each of `dupe_factor` passes and each document: a target length is drawn once; sentences are taken until they reach
it; A is the first of them; B is the rest, or (half the time, and always for a lone sentence) begins at a sentence of
another document, which after 10 tries may be the same one and still counts as random. What is too long loses tokens one
by one from its longer side, front or back. Masks are drawn there and then and stay.

Source: google-research/bert create_pretraining_data.py (Apache-2.0); Devlin et al. 2019 (arXiv:1810.04805).
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Sentence = list[str]
Document = list[Sentence]

GOLDEN = Path(__file__).parents[1] / "tests" / "examples" / "golden" / "reference_pairs.json"
_NUM_TRIES = 10


@dataclass(frozen=True)
class ReferenceSettings:
    """The flags of create_pretraining_data.py, with its defaults."""

    max_seq_length: int = 128
    """Longest instance with its three special tokens, tokens."""
    dupe_factor: int = 10
    """Passes over the documents, each with its own pairs and masks."""
    short_seq_prob: float = 0.1
    """Share of the document passes that are built to a random shorter length, 0 to 1."""
    masked_lm_prob: float = 0.15
    """Share of the tokens to predict, special tokens counted, 0 to 1."""
    max_predictions_per_seq: int = 20
    """Most tokens to predict in one instance."""
    do_whole_word_mask: bool = False
    """Hide the `##` pieces of a word together."""
    random_seed: int = 12345


@dataclass(frozen=True)
class ReferenceInstance:
    """One training instance."""

    tokens: list[str]
    """`[CLS] A [SEP] B [SEP]`, masked."""
    segment_ids: list[int]
    """0 up to the first [SEP], then 1."""
    is_random_next: bool
    masked_lm_positions: list[int]
    """Ascending."""
    masked_lm_labels: list[str]
    """Tokens that were there."""


def reference_instances(
    documents: Sequence[Document], vocabulary: Sequence[str], settings: ReferenceSettings
) -> list[ReferenceInstance]:
    """Build the instances of all passes in the order in which the original writes them.

    Args:
        documents: sentences of tokens; empty documents and sentences left out before.
        vocabulary: entries that random tokens are drawn from, all of them.
        settings: flags.
    """
    rng = random.Random(settings.random_seed)
    shuffled = list(documents)
    rng.shuffle(shuffled)
    instances = [
        instance
        for _ in range(settings.dupe_factor)
        for index in range(len(shuffled))
        for instance in _of_document(shuffled, index, vocabulary, settings, rng)
    ]
    rng.shuffle(instances)
    return instances


def _of_document(
    documents: Sequence[Document],
    index: int,
    vocabulary: Sequence[str],
    settings: ReferenceSettings,
    rng: random.Random,
) -> Iterator[ReferenceInstance]:
    document, most_tokens = documents[index], settings.max_seq_length - 3
    target = most_tokens
    if rng.random() < settings.short_seq_prob:
        target = rng.randint(2, most_tokens)
    chunk: list[Sentence] = []
    length, place = 0, 0
    while place < len(document):
        chunk.append(document[place])
        length += len(document[place])
        if place == len(document) - 1 or length >= target:
            num_a = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            tokens_a = [token for sentence in chunk[:num_a] for token in sentence]
            is_random = len(chunk) == 1 or rng.random() < 0.5
            if is_random:
                tokens_b = _random_b(documents, index, target - len(tokens_a), rng)
                place -= len(chunk) - num_a  # what B does not take is walked over again
            else:
                tokens_b = [token for sentence in chunk[num_a:] for token in sentence]
            _truncate(tokens_a, tokens_b, most_tokens, rng)
            yield _masked(tokens_a, tokens_b, is_random, vocabulary, settings, rng)
            chunk, length = [], 0
        place += 1


def _random_b(documents: Sequence[Document], index: int, wanted_tokens: int, rng: random.Random) -> Sentence:
    """Take whole sentences of a drawn document from a drawn one on, until they are `wanted_tokens` or it ends."""
    other = index
    for _ in range(_NUM_TRIES):
        other = rng.randint(0, len(documents) - 1)
        if other != index:
            break
    tokens: Sentence = []
    for sentence in documents[other][rng.randint(0, len(documents[other]) - 1) :]:
        tokens.extend(sentence)
        if len(tokens) >= wanted_tokens:
            break
    return tokens


def _truncate(tokens_a: Sentence, tokens_b: Sentence, most_tokens: int, rng: random.Random) -> None:
    """Cut a pair to size, in place: the longer side, B where they are equal, loses its first or its last token."""
    while len(tokens_a) + len(tokens_b) > most_tokens:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def _masked(
    tokens_a: Sentence,
    tokens_b: Sentence,
    is_random: bool,
    vocabulary: Sequence[str],
    settings: ReferenceSettings,
    rng: random.Random,
) -> ReferenceInstance:
    tokens = ["[CLS]", *tokens_a, "[SEP]", *tokens_b, "[SEP]"]
    candidates: list[list[int]] = []
    for position, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        if settings.do_whole_word_mask and candidates and token.startswith("##"):
            candidates[-1].append(position)
        else:
            candidates.append([position])
    rng.shuffle(candidates)
    num_to_predict = min(settings.max_predictions_per_seq, max(1, round(len(tokens) * settings.masked_lm_prob)))
    shown, hidden = list(tokens), []
    for word in candidates:
        if len(hidden) >= num_to_predict:
            break
        if len(hidden) + len(word) > num_to_predict:
            continue
        for position in word:
            if rng.random() < 0.8:
                shown[position] = "[MASK]"
            elif rng.random() >= 0.5:
                shown[position] = vocabulary[rng.randint(0, len(vocabulary) - 1)]
            hidden.append(position)
    hidden.sort()
    return ReferenceInstance(
        shown,
        [0] * (len(tokens_a) + 2) + [1] * (len(tokens_b) + 1),
        is_random,
        hidden,
        [tokens[position] for position in hidden],
    )


GOLDEN_TEXT = """\
清晨的集市刚刚开门。
卖豆腐的老人把木板擦了三遍。
他的孙女在旁边数零钱。

山路越走越窄。
雾从谷底慢慢升上来。
向导停下，听了听水声。
他说桥就在前面。

这台旧收音机只收得到两个台。

火车晚点四十分钟。
站台上的人都看着同一块表。
"""
"""Written for this test: sentences one a line, documents apart by an empty line, every character a token."""
GOLDEN_SETTINGS = ReferenceSettings(max_seq_length=32, dupe_factor=2, max_predictions_per_seq=5)
_PROVENANCE = (
    "Written by `python -m benchmarks.reference_rule` from GOLDEN_TEXT there (our own text): the rule of "
    "google-research/bert create_pretraining_data.py (Apache-2.0) as re-stated in benchmarks/reference_rule.py; "
    "not an output of the original program."
)


def golden() -> dict:
    """Return the golden file's content as plain JSON values."""
    documents = [[list(line) for line in part.split("\n") if line] for part in GOLDEN_TEXT.split("\n\n")]
    characters = sorted({character for document in documents for sentence in document for character in sentence})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    instances = reference_instances(documents, vocabulary, GOLDEN_SETTINGS)
    return {
        "provenance": _PROVENANCE,
        "settings": asdict(GOLDEN_SETTINGS),
        "documents": ["\n".join("".join(sentence) for sentence in document) for document in documents],
        "instances": [
            asdict(instance)
            | {"tokens": " ".join(instance.tokens), "segment_ids": "".join(map(str, instance.segment_ids))}
            for instance in instances
        ],
    }


def main() -> None:
    """Write the golden file."""
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
