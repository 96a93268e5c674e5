"""The division of documents, and their grouping by shard."""

import numpy as np
import pytest

from bert_core.examples.token_documents import DocumentIndex, TokenDocuments, is_held_out

DOC_IDS = (np.arange(1, 2001, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)


def test_share_of_held_out_documents_is_near_the_fraction():
    assert 160 <= is_held_out(DOC_IDS, 0.1, 1, at_least=1).sum() <= 240


def test_division_depends_on_the_document_alone():
    whole = is_held_out(DOC_IDS, 0.1, 1, at_least=1)
    order = np.random.default_rng(0).permutation(len(DOC_IDS))
    assert is_held_out(DOC_IDS[order], 0.1, 1, at_least=1).tolist() == whole[order].tolist()
    assert is_held_out(DOC_IDS[:1000], 0.1, 1, at_least=1).tolist() == whole[:1000].tolist()


def test_another_seed_holds_out_other_documents():
    first, second = (is_held_out(DOC_IDS, 0.1, seed, at_least=1) for seed in (1, 2))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("num_documents", "fraction", "at_least", "fewest", "most"),
    [
        (2, 0.02, 1, 1, 1),
        (3, 0.02, 2, 1, 1),
        (4, 0.02, 2, 2, 2),
        (4, 0.5, 2, 2, 2),
        (9, 0.001, 2, 2, 2),
        (1, 0.5, 1, 0, 0),
    ],
)
def test_few_documents_leave_enough_on_both_sides(num_documents, fraction, at_least, fewest, most):
    for seed in range(20):
        assert fewest <= is_held_out(DOC_IDS[:num_documents], fraction, seed, at_least).sum() <= most


def test_fraction_zero_holds_out_nothing():
    assert not is_held_out(DOC_IDS, 0.0, 1, at_least=2).any()


def test_duplicates_stay_on_one_side():
    doubled = np.concatenate([DOC_IDS, DOC_IDS[::-1]])
    held_out = is_held_out(doubled, 0.3, 1, at_least=1)
    assert held_out[:2000].tolist() == held_out[2000:][::-1].tolist()


def index_of(write_tokens, folder, doc_ids, shards):
    documents = [{"doc_id": doc_id, "sentences": [[10, 11]] if doc_id else [[]]} for doc_id in doc_ids]
    return DocumentIndex.read(write_tokens(folder, documents, shards))


@pytest.mark.parametrize(
    ("doc_ids", "groups"),
    [
        ([1, 2, 3, 4], [[1, 2], [3, 4]]),
        ([1, 1, 3, 4], [[1, 1, 3, 4]]),  # the first shard has one document twice
        ([1, 2, 3, 3], [[1, 2, 3, 3]]),
        ([1, 2, 3, 0], [[1, 2, 3]]),  # id 0 is a document without tokens
        ([5, 5, 5, 5], [[5, 5, 5, 5]]),
    ],
)
def test_groups_have_two_distinct_documents(write_tokens, tmp_path, doc_ids, groups):
    index = index_of(write_tokens, tmp_path, doc_ids, shards=2)
    assert [group.doc_ids.tolist() for group in index.by_shard()] == groups


def test_duplicates_have_keys_of_their_own(write_tokens, tmp_path):
    index = index_of(write_tokens, tmp_path, [7, 8, 7, 7], shards=1)
    assert len(set(index.doc_keys.tolist())) == 4
    assert index.doc_keys[:2].tolist() == [7, 8]
    assert index.num_distinct == 2


def test_loaded_columns_are_those_of_the_chosen_documents(write_tokens, tmp_path):
    documents = [
        {"doc_id": number, "sentences": [[10 * number, 10 * number + 1], [10 * number + 2]], "entities": [(1, 2)]}
        for number in range(1, 7)
    ]
    index = DocumentIndex.read(write_tokens(tmp_path, documents, shards=3))
    loaded = TokenDocuments.load(index.select(index.doc_ids % np.uint64(2) == 0))
    assert loaded.doc_ids.tolist() == [2, 4, 6]
    assert loaded.ids.tolist() == [20, 21, 22, 40, 41, 42, 60, 61, 62]
    assert loaded.offsets.tolist() == [0, 3, 6, 9]
    assert loaded.sentence_lengths.tolist() == [2, 1] * 3
    assert loaded.entity_starts.tolist() == [1, 4, 7]
    assert loaded.entity_offsets.tolist() == [0, 1, 2, 3]
