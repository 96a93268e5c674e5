"""The published rule, re-stated: its golden output, its choices one by one, and its label share beside ours."""

import json
from collections import Counter

import numpy as np
import pytest

from benchmarks.reference_rule import GOLDEN, ReferenceSettings, golden, reference_instances
from bert_core.config import ExamplesConfig
from bert_core.examples.pairs import build_examples
from bert_core.store.shards import read_shards

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x", "##y"]


def document_of(number, num_sentences, mean_tokens=40):
    """A document of sentences of normal length, every token named after its place."""
    lengths = np.random.default_rng([number, num_sentences]).normal(mean_tokens, mean_tokens / 2, num_sentences)
    return [
        [f"{number}.{sentence}.{token}" for token in range(max(2, int(length)))]
        for sentence, length in enumerate(lengths)
    ]


def documents_of(num_documents, num_sentences, mean_tokens=40):
    return [document_of(number, num_sentences, mean_tokens) for number in range(num_documents)]


def sides_of(instance):
    """Unmasked tokens of A and of B."""
    tokens = list(instance.tokens)
    for position, label in zip(instance.masked_lm_positions, instance.masked_lm_labels, strict=True):
        tokens[position] = label
    first = instance.segment_ids.index(1)
    return tokens[1 : first - 1], tokens[first:-1]


def test_golden_file_is_what_the_rule_gives():
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == golden()


def test_instances_are_as_long_as_they_may_be_and_predict_as_many_as_they_must():
    settings = ReferenceSettings(dupe_factor=2)
    for instance in reference_instances(documents_of(20, 8), VOCABULARY, settings):
        num_tokens = len(instance.tokens)
        assert num_tokens <= 128
        assert len(instance.segment_ids) == num_tokens
        assert len(instance.masked_lm_positions) == min(20, max(1, round(num_tokens * 0.15)))
        assert instance.masked_lm_positions == sorted(set(instance.masked_lm_positions))
        assert not {"[CLS]", "[SEP]"} & set(instance.masked_lm_labels)


def test_a_lone_sentence_is_always_paired_at_random():
    instances = reference_instances(documents_of(30, 1), VOCABULARY, ReferenceSettings(dupe_factor=1))
    assert len(instances) == 30
    assert all(instance.is_random_next for instance in instances)


def test_a_single_document_gives_random_pairs_of_its_own_sentences():
    """After ten tries the same document is taken, and the label still says random."""
    instances = reference_instances(documents_of(1, 30), VOCABULARY, ReferenceSettings(dupe_factor=3))
    assert any(instance.is_random_next for instance in instances)
    assert {token.split(".")[0] for instance in instances for side in sides_of(instance) for token in side} == {"0"}


def test_truncation_takes_tokens_from_both_ends_of_the_longer_side():
    documents = [[[f"{document}.{side}.{token}" for token in range(100)] for side in range(2)] for document in range(9)]
    settings = ReferenceSettings(dupe_factor=4, short_seq_prob=0.0)
    cut_ends = Counter()
    for instance in reference_instances(documents, VOCABULARY, settings):
        a, b = sides_of(instance)
        assert (len(a), len(b)) == (63, 62)
        for side in (a, b):
            cut_ends["front"] += int(side[0].split(".")[2])
            cut_ends["back"] += 99 - int(side[-1].split(".")[2])
    assert 0.45 < cut_ends["front"] / cut_ends.total() < 0.55


def test_whole_words_are_hidden_together():
    sentence = ["x", "##y", "##y"] * 12
    settings = ReferenceSettings(dupe_factor=2, do_whole_word_mask=True)
    for instance in reference_instances([[sentence] * 4] * 6, VOCABULARY, settings):
        hidden = set(instance.masked_lm_positions)
        tokens = list(instance.tokens)
        for position, label in zip(instance.masked_lm_positions, instance.masked_lm_labels, strict=True):
            tokens[position] = label
        for position in hidden:
            if tokens[position] == "##y" and tokens[position - 1] in ("x", "##y"):
                assert position - 1 in hidden
            if position + 1 < len(tokens) and tokens[position + 1] == "##y":
                assert position + 1 in hidden


def random_share_of(documents, **settings):
    """Share of random pairs under the published rule; few masks, which cost most of the time."""
    settings = ReferenceSettings(max_predictions_per_seq=1, **settings)
    instances = reference_instances(documents, VOCABULARY, settings)
    return sum(instance.is_random_next for instance in instances) / len(instances), len(instances)


def test_two_sentences_a_document_give_two_thirds_random():
    """Half the documents give one true pair; the others a random one, and a second for the sentence put back."""
    share, num_instances = random_share_of(documents_of(1_500, 2, mean_tokens=20), dupe_factor=2, short_seq_prob=0.0)
    assert abs(share - 2 / 3) < 3 * 0.5 / num_instances**0.5


@pytest.mark.parametrize("num_sentences", [3, 5, 10, 30, (2, 30)], ids=str)
def test_more_than_half_of_its_labels_are_random_where_ours_are_half(
    num_sentences, write_tokens, vocabulary_folder, tmp_path
):
    """Documents of that many sentences, or of any number between the two."""
    low, high = num_sentences if isinstance(num_sentences, tuple) else (num_sentences, num_sentences)
    counts = np.random.default_rng(0).integers(low, high + 1, max(150, 2_400 // high))
    documents = [document_of(number, count) for number, count in enumerate(counts)]
    share, _ = random_share_of(documents, dupe_factor=2)
    rows = [
        {"doc_id": 1 + number, "sentences": [[id_of(token) for token in sentence] for sentence in document]}
        for number, document in enumerate(documents)
    ]
    (tmp_path / "tokens").mkdir()
    (tmp_path / "examples").mkdir()
    write_tokens(tmp_path / "tokens", rows)
    config = ExamplesConfig(held_out_fraction=0.0)
    build_examples(tmp_path / "tokens", vocabulary_folder, config, 1, tmp_path / "examples")
    labels = Counter(read_shards(tmp_path / "examples", "train").column("next_sentence_label").to_pylist())
    assert abs(labels[0] - labels[1]) <= 1
    assert labels[1] > 100
    assert 0.54 <= share <= 0.66


def id_of(token):
    """A token id for `document.sentence.place`, the same in every process."""
    document, sentence, place = map(int, token.split("."))
    return 5 + (document * 7919 + sentence * 104_729 + place * 31) % 490
