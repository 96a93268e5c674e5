"""Sentence pairs: a golden corpus with whole rows, and what must hold of any corpus."""

import hashlib
import json
from collections import Counter, defaultdict
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import ExamplesConfig
from bert_core.errors import CorpusError, StoreError
from bert_core.examples import set_builder
from bert_core.examples.pairs import build_examples

CLS, SEP = 2, 3


@pytest.fixture(scope="session")
def build(write_tokens, vocabulary_folder, tmp_path_factory, read_examples):
    """Build examples of documents in a fresh folder; return (rows by set, counts, folder)."""

    def run(documents, seed=1, shards=1, **config):
        folder = tmp_path_factory.mktemp("build")
        (folder / "tokens").mkdir()
        (folder / "examples").mkdir()
        write_tokens(folder / "tokens", documents, shards)
        counts = build_examples(
            folder / "tokens", vocabulary_folder, ExamplesConfig(**config), seed, folder / "examples"
        )
        rows = {name: read_examples(folder / "examples", name) for name in ("train", "held_out")}
        return rows, counts, folder / "examples"

    return run


def sentences_of(*lengths, first=10):
    """Sentences of these lengths whose tokens count up, so that every place can be told from its token."""
    sentences, token = [], first
    for length in lengths:
        sentences.append([5 + (number % 495) for number in range(token, token + length)])
        token += length
    return sentences


def sides_of(row):
    """Tokens of A and of B."""
    ids, length_a = row["input_ids"], row["length_a"]
    return ids[1 : 1 + length_a], ids[length_a + 2 : -1] if row["next_sentence_label"] != -100 else []


GOLDEN_CORPUS = [
    {
        "doc_id": 11,
        "sentences": [[10, 11, 12], [13, 14], [15, 16, 17, 18]],
        "words": [True, False, True, True, False, True, True, False, True],
        "entities": [(0, 2), (7, 2)],
    },
    {"doc_id": 22, "sentences": [[30, 31], [32, 33, 34]], "entities": [(2, 1)]},
    {"doc_id": 33, "sentences": [[50, 51, 52]]},
]


GOLDEN_ROWS = [
    {
        "example_id": 16432251641754166668,
        "input_ids": [2, 10, 11, 12, 13, 14, 3, 15, 16, 17, 18, 3],
        "length_a": 5,
        "next_sentence_label": 0,
        "word_starts": [1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1],
        "entity_starts": [1, 9],
        "entity_lengths": [2, 2],
        "doc_id_a": 11,
        "doc_id_b": 11,
        "token_a": 0,
        "token_b": 5,
        "round": 0,
    },
    {
        "example_id": 13610253071183914070,
        "input_ids": [2, 30, 31, 3, 15, 16, 17, 18, 3],
        "length_a": 2,
        "next_sentence_label": 1,
        "word_starts": [1, 1, 1, 1, 1, 1, 0, 1, 1],
        "entity_starts": [6],
        "entity_lengths": [2],
        "doc_id_a": 22,
        "doc_id_b": 11,
        "token_a": 0,
        "token_b": 5,
        "round": 0,
    },
    {
        "example_id": 4441894961152032749,
        "input_ids": [2, 32, 33, 34, 3],
        "length_a": 3,
        "next_sentence_label": -100,
        "word_starts": [1, 1, 1, 1, 1],
        "entity_starts": [1],
        "entity_lengths": [1],
        "doc_id_a": 22,
        "doc_id_b": 22,
        "token_a": 2,
        "token_b": -1,
        "round": 0,
    },
    {
        "example_id": 15101309433697846625,
        "input_ids": [2, 50, 51, 52, 3],
        "length_a": 3,
        "next_sentence_label": -100,
        "word_starts": [1, 1, 1, 1, 1],
        "entity_starts": [],
        "entity_lengths": [],
        "doc_id_a": 33,
        "doc_id_b": 33,
        "token_a": 0,
        "token_b": -1,
        "round": 0,
    },
]
GOLDEN_COUNTS = {
    "documents": 3,
    "examples": 4,
    "pairs": 2,
    "next": 1,
    "random": 1,
    "swapped": 0,
    "single": 2,
    "tokens": 31,
    "cut_tokens": 0,
    "without_negative": 0,
}


def apart_from_disk(counts):
    """The counts of every set without those of its files."""
    return {
        name: {key: value for key, value in part.items() if key not in ("rounds", "bytes", "bytes_a_round")}
        for name, part in counts.items()
    }


def test_the_counts_say_how_the_disk_grows_with_pairing_rounds(build):
    sizes = []
    for rounds in (1, 2, 4):
        _, counts, folder = build(many_documents(60), max_tokens=32, pairing_rounds=rounds, held_out_fraction=0.1)
        train = counts["train"]
        assert train["bytes"] == sum(path.stat().st_size for path in folder.glob("train-*.arrow"))
        assert (train["rounds"], train["bytes_a_round"]) == (rounds, round(train["bytes"] / rounds))
        assert counts["held_out"]["rounds"] == 1
        sizes.append(train["bytes_a_round"])
    assert max(sizes) < 1.2 * min(sizes)


def test_golden_corpus_gives_these_rows(build):
    rows, counts, _ = build(GOLDEN_CORPUS, max_tokens=16, short_sequence_probability=0.0, held_out_fraction=0.0)
    assert rows["held_out"] == []
    assert rows["train"] == GOLDEN_ROWS
    assert apart_from_disk(counts) == {"train": GOLDEN_COUNTS, "held_out": dict.fromkeys(GOLDEN_COUNTS, 0)}


def test_golden_corpus_without_pairs_is_packed_by_document(build):
    rows, counts, _ = build(
        GOLDEN_CORPUS, max_tokens=16, short_sequence_probability=0.0, held_out_fraction=0.0, objective="none"
    )
    assert [row["input_ids"] for row in rows["train"]] == [
        [CLS, 10, 11, 12, 13, 14, 15, 16, 17, 18, SEP],
        [CLS, 30, 31, 32, 33, 34, SEP],
        [CLS, 50, 51, 52, SEP],
    ]
    assert {row["next_sentence_label"] for row in rows["train"]} == {-100}
    assert [row["entity_starts"] for row in rows["train"]] == [[1, 8], [3], []]
    assert [row["entity_lengths"] for row in rows["train"]] == [[2, 2], [1], []]
    assert [row["token_b"] for row in rows["train"]] == [-1, -1, -1]
    assert counts["train"]["pairs"] == 0


corpora = st.lists(
    st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda lengths: sum(lengths) > 0),
    min_size=4,
    max_size=12,
).filter(lambda documents: sum(len([n for n in lengths if n]) >= 2 for lengths in documents) >= 4)


def documents_of(corpus):
    return [
        {"doc_id": 1000 + 7 * number, "sentences": sentences_of(*lengths, first=37 * number)}
        for number, lengths in enumerate(corpus)
    ]


@settings(max_examples=60, deadline=None)
@given(corpora, st.sampled_from([16, 24, 64]), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_pairs_of_any_corpus_are_honest(build, corpus, max_tokens, short, seed):
    documents = {document["doc_id"]: document for document in documents_of(corpus)}
    rows, counts, _ = build(
        list(documents.values()),
        seed=seed,
        max_tokens=max_tokens,
        short_sequence_probability=short,
        held_out_fraction=0.0,
    )
    text = {key: list(chain(*document["sentences"])) for key, document in documents.items()}
    begins = {
        key: set(np.cumsum([0] + [len(sentence) for sentence in document["sentences"]]).tolist())
        for key, document in documents.items()
    }
    labels = Counter(row["next_sentence_label"] for row in rows["train"])
    assert abs(labels[0] - labels[1]) <= 1
    assert labels[0] + labels[1] == counts["train"]["pairs"]
    read, last = defaultdict(list), {}
    for row in rows["train"]:
        a, b = sides_of(row)
        ids, start, doc_id = row["input_ids"], row["token_a"], row["doc_id_a"]
        assert len(ids) <= max_tokens
        assert ids[0] == CLS
        assert ids[-1] == SEP == ids[row["length_a"] + 1]
        assert a == text[doc_id][start : start + len(a)]
        assert a
        assert row["word_starts"][1]
        assert start >= last.get(doc_id, 0)  # documents are walked forwards
        last[doc_id] = start + len(a)
        read[doc_id] += range(start, start + len(a))
        if row["next_sentence_label"] == -100:
            assert (row["doc_id_b"], row["token_b"], b) == (doc_id, -1, [])
            continue
        assert b
        assert b == text[row["doc_id_b"]][row["token_b"] : row["token_b"] + len(b)]
        assert (row["next_sentence_label"] == 1) == (row["doc_id_b"] != doc_id)
        if row["next_sentence_label"] == 0:
            assert row["token_b"] == start + len(a)
            read[doc_id] += range(row["token_b"], row["token_b"] + len(b))
            last[doc_id] = row["token_b"] + len(b)
        else:
            assert row["token_b"] in begins[row["doc_id_b"]]
            after = start + len(a)
            true = text[doc_id][after : min(border for border in begins[doc_id] if border > after)]
            assert b[: len(true)] != true[: len(b)]
    for doc_id, tokens in read.items():
        assert len(set(tokens)) == len(tokens)  # nothing twice in a round
        assert set(tokens) <= set(range(len(text[doc_id])))
    missing = sum(map(len, text.values())) - sum(map(len, read.values()))
    assert missing == counts["train"]["cut_tokens"]


@settings(max_examples=60, deadline=None)
@given(corpora, st.sampled_from([16, 24, 64]), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 5))
def test_sentence_orders_of_any_corpus_are_honest(build, corpus, max_tokens, short, seed):
    documents = documents_of(corpus)
    rows, counts, _ = build(
        documents,
        seed=seed,
        max_tokens=max_tokens,
        short_sequence_probability=short,
        held_out_fraction=0.0,
        objective="sop",
    )
    text = {document["doc_id"]: list(chain(*document["sentences"])) for document in documents}
    labels = Counter(row["next_sentence_label"] for row in rows["train"])
    assert abs(labels[0] - labels[1]) <= 1
    assert (labels[0], labels[1]) == (counts["train"]["next"], counts["train"]["swapped"])
    assert counts["train"]["random"] == 0
    read = defaultdict(list)
    for row in rows["train"]:
        a, b = sides_of(row)
        doc_id, start_a, start_b = row["doc_id_a"], row["token_a"], row["token_b"]
        assert len(row["input_ids"]) <= max_tokens
        assert a == text[doc_id][start_a : start_a + len(a)]
        read[doc_id] += range(start_a, start_a + len(a))
        if row["next_sentence_label"] == -100:
            continue
        assert row["doc_id_b"] == doc_id
        assert b
        assert b != a
        assert b == text[doc_id][start_b : start_b + len(b)]
        assert (row["next_sentence_label"] == 1) == (start_b < start_a)
        read[doc_id] += range(start_b, start_b + len(b))
    for tokens in read.values():
        assert len(set(tokens)) == len(tokens)
    assert sum(map(len, text.values())) - sum(map(len, read.values())) == counts["train"]["cut_tokens"]


def test_golden_corpus_in_sentence_order(build):
    rows, counts, _ = build(
        GOLDEN_CORPUS, max_tokens=16, short_sequence_probability=0.0, held_out_fraction=0.0, objective="sop"
    )
    assert [
        (row["input_ids"], row["next_sentence_label"], row["token_a"], row["token_b"]) for row in rows["train"]
    ] == [
        ([CLS, 10, 11, 12, 13, 14, SEP, 15, 16, 17, 18, SEP], 0, 0, 5),
        ([CLS, 32, 33, 34, SEP, 30, 31, SEP], 1, 2, 0),
        ([CLS, 50, 51, 52, SEP], -100, 0, -1),
    ]
    assert [row["entity_starts"] for row in rows["train"]] == [[1, 9], [1], []]
    assert apart_from_disk(counts)["train"] == GOLDEN_COUNTS | {
        "examples": 3,
        "random": 0,
        "swapped": 1,
        "single": 1,
        "tokens": 25,
    }


def test_swapped_pairs_differ_from_pairs_in_order_in_nothing_but_order(build):
    """Sentences of one length, two in each pair and too long together: what is cut must not tell the label."""
    documents = [{"doc_id": 1 + n, "sentences": sentences_of(20, 20, first=13 * n)} for n in range(400)]
    rows, counts, _ = build(
        documents, max_tokens=32, held_out_fraction=0.0, short_sequence_probability=0.0, objective="sop"
    )
    assert counts["train"]["swapped"] == counts["train"]["next"] == 200
    shapes = {
        label: {
            (row["length_a"], len(row["input_ids"]), row["token_a"] % 20, row["token_b"] % 20)
            for row in rows["train"]
            if row["next_sentence_label"] == label
        }
        for label in (0, 1)
    }
    assert shapes[0] == shapes[1] == {(15, 32, 0, 0)}


def test_two_sentences_of_one_text_have_no_order(build):
    documents = [{"doc_id": 1 + n, "sentences": [[10 + n, 11], [10 + n, 11]]} for n in range(20)]
    documents += many_documents(15)
    rows, counts, _ = build(documents, held_out_fraction=0.0, short_sequence_probability=0.0, objective="sop")
    assert counts["train"]["without_negative"] == 20
    assert all(
        row["next_sentence_label"] == -100 for row in rows["train"] if row["doc_id_a"] <= 20 and row["length_a"] == 2
    )


def test_one_document_is_enough_for_sentence_order(build):
    rows, _, _ = build(many_documents(1, num_sentences=12), max_tokens=32, objective="sop")
    assert {row["next_sentence_label"] for row in rows["train"]} >= {0, 1}


@settings(max_examples=40, deadline=None)
@given(corpora, st.sampled_from([16, 64]), st.sampled_from([0.0, 0.5]))
def test_packs_hold_every_token_once_in_order(build, corpus, max_tokens, short):
    documents = documents_of(corpus)
    rows, _, _ = build(
        documents,
        max_tokens=max_tokens,
        short_sequence_probability=short,
        held_out_fraction=0.0,
        objective="none",
    )
    read = defaultdict(list)
    for row in rows["train"]:
        assert len(row["input_ids"]) <= max_tokens
        read[row["doc_id_a"]] += sides_of(row)[0]
    assert read == {document["doc_id"]: list(chain(*document["sentences"])) for document in documents}


def many_documents(num_documents, num_sentences=6, length=9):
    return [
        {
            "doc_id": 1 + number,
            "sentences": sentences_of(*[length] * num_sentences, first=number * 11),
            "entities": [(1, 3), (length + 2, 2)],
        }
        for number in range(num_documents)
    ]


def test_labels_are_balanced_in_every_round_and_shard_layout(build):
    for shards in (1, 7):
        rows, _, _ = build(many_documents(41), shards=shards, pairing_rounds=3, max_tokens=32)
        for round_ in range(3):
            labels = Counter(row["next_sentence_label"] for row in rows["train"] if row["round"] == round_)
            assert abs(labels[0] - labels[1]) <= 1
            assert labels[0] > 20


def test_bytes_do_not_depend_on_the_number_of_threads(write_tokens, vocabulary_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(set_builder, "TOKENS_PER_PLAN", 200)
    monkeypatch.setattr(set_builder, "ROWS_PER_TABLE", 3)
    write_tokens(tmp_path, many_documents(60), shards=4)
    results = []
    for num_threads in (1, 2, 5):
        folder = tmp_path / f"threads-{num_threads}"
        folder.mkdir()
        config = ExamplesConfig(max_tokens=32, pairing_rounds=2, held_out_fraction=0.2)
        counts = build_examples(tmp_path, vocabulary_folder, config, 1, folder, num_threads=num_threads)
        results.append((counts, [path.read_bytes() for path in sorted(folder.iterdir())]))
    assert results[0] == results[1] == results[2]


def test_rows_do_not_depend_on_how_many_are_planned_at_once(build, monkeypatch):
    expected, counts, _ = build(many_documents(60), shards=3, max_tokens=32, pairing_rounds=2)
    monkeypatch.setattr(set_builder, "TOKENS_PER_PLAN", 100)
    monkeypatch.setattr(set_builder, "ROWS_PER_TABLE", 7)
    found, found_counts, _ = build(many_documents(60), shards=3, max_tokens=32, pairing_rounds=2)
    assert (found, apart_from_disk(found_counts)) == (expected, apart_from_disk(counts))


def test_rounds_are_ordered_and_draw_other_pairs(build):
    rows, _, _ = build(many_documents(30), pairing_rounds=3, max_tokens=48)
    rounds = [row["round"] for row in rows["train"]]
    assert rounds == sorted(rounds)
    assert set(rounds) == {0, 1, 2}
    assert {row["round"] for row in rows["held_out"]} == {0}
    pairs = [
        {
            (row["doc_id_a"], row["token_a"], row["doc_id_b"], row["token_b"])
            for row in rows["train"]
            if row["round"] == r
        }
        for r in range(3)
    ]
    assert len(pairs[0] & pairs[1]) < len(pairs[0]) / 2
    ids = [row["example_id"] for row in rows["train"] + rows["held_out"]]
    assert len(set(ids)) == len(ids)


def test_documents_are_divided_whole(build):
    rows, counts, _ = build(many_documents(60), held_out_fraction=0.3, max_tokens=48)
    sides = [{row[key] for row in rows[name] for key in ("doc_id_a", "doc_id_b")} for name in ("train", "held_out")]
    assert not sides[0] & sides[1]
    assert counts["train"]["documents"] + counts["held_out"]["documents"] == 60
    assert 8 <= counts["held_out"]["documents"] <= 28


def test_entities_and_words_move_with_their_tokens(build):
    documents = many_documents(12)
    for document in documents:
        document["words"] = [index % 3 != 2 for index in range(54)]
    rows, _, _ = build(documents, max_tokens=32, held_out_fraction=0.0)
    by_id = {document["doc_id"]: document for document in documents}
    seen = 0
    for row in rows["train"]:
        parts = [(row["doc_id_a"], row["token_a"], 1, row["length_a"])]
        if row["token_b"] >= 0:
            at = row["length_a"] + 2
            parts.append((row["doc_id_b"], row["token_b"], at, len(row["input_ids"]) - 1 - at))
        expected = []
        for doc_id, token, at, length in parts:
            words = [True, *by_id[doc_id]["words"][token + 1 : token + length]]
            assert row["word_starts"][at : at + length] == words
            for start, size in by_id[doc_id]["entities"]:
                if start >= token and start + size <= token + length:
                    expected.append((at + start - token, size))
        assert list(zip(row["entity_starts"], row["entity_lengths"], strict=True)) == expected
        seen += len(expected)
    assert seen > 20


def test_two_sentences_are_enough_for_a_pair_and_length_does_not_tell_the_label(build):
    """Reviews of two sentences: half the pairs are random, and both kinds are as long."""
    random = np.random.default_rng(0)
    documents = [
        {"doc_id": 1 + number, "sentences": sentences_of(*random.integers(4, 30, 2), first=13 * number)}
        for number in range(800)
    ]
    rows, counts, _ = build(documents, held_out_fraction=0.0)
    assert counts["train"]["next"] == pytest.approx(counts["train"]["random"], abs=1)
    assert counts["train"]["pairs"] == 800
    lengths = {
        label: [len(r["input_ids"]) for r in rows["train"] if r["next_sentence_label"] == label] for label in (0, 1)
    }
    assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 2.0


def test_long_sentence_is_cut_at_words_into_even_pieces(build):
    words = [index % 5 == 0 for index in range(100)]
    documents = [{"doc_id": 1, "sentences": sentences_of(100), "words": words}, *many_documents(8)[1:]]
    rows, counts, _ = build(documents, max_tokens=32, held_out_fraction=0.0, short_sequence_probability=0.0)
    starts = [row["token_a"] for row in rows["train"] if row["doc_id_a"] == 1]
    assert len(starts) >= 4
    assert all(start % 5 == 0 for start in starts)
    assert counts["train"]["cut_tokens"] == 0


def test_random_b_is_never_the_text_that_follows(build):
    """Every document but one goes on with the same sentence; only the odd one can give a random B to them."""
    tail = [200, 201, 202]
    documents = [{"doc_id": 1 + number, "sentences": [[10 + number] * 4, tail]} for number in range(30)]
    rows, _, _ = build(documents, held_out_fraction=0.0, short_sequence_probability=0.0)
    for row in rows["train"]:
        if row["next_sentence_label"] == 1:
            assert sides_of(row)[1][:3] != tail
    assert sum(row["next_sentence_label"] == 1 for row in rows["train"]) > 10


def test_random_b_never_begins_inside_a_sentence(build):
    """The only other document is one long sentence that begins with what follows: its later pieces are no way out."""
    documents = [
        {"doc_id": 1, "sentences": [[10, 11, 12], list(range(200, 209))] * 6},
        {"doc_id": 2, "sentences": [list(range(200, 400))]},
    ]
    rows, counts, _ = build(documents, max_tokens=32, held_out_fraction=0.0, short_sequence_probability=1.0)
    assert counts["train"]["random"] > 0
    for row in rows["train"]:
        if row["next_sentence_label"] == 1 and row["doc_id_b"] == 2:
            assert row["token_b"] == 0
            assert (row["token_a"] + row["length_a"]) % 12 != 3  # where 200, 201, ... follows A


def test_duplicates_of_a_document_are_no_negatives_of_it_and_draw_on_their_own(build):
    documents = many_documents(3)
    documents += [dict(documents[0]) for _ in range(5)]
    rows, _, _ = build(documents, held_out_fraction=0.0, max_tokens=32)
    assert all(row["doc_id_a"] != row["doc_id_b"] for row in rows["train"] if row["next_sentence_label"] == 1)
    ids = [row["example_id"] for row in rows["train"]]
    assert len(set(ids)) == len(ids)


def test_equal_inputs_give_equal_bytes_and_another_seed_others(build):
    def digests(folder):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}

    first, again, other = (digests(build(many_documents(40), seed=seed)[2]) for seed in (5, 5, 6))
    assert first == again
    assert first["train-00000-of-00001.arrow"] != other["train-00000-of-00001.arrow"]


def test_audit_is_written_beside_the_examples(build):
    _, counts, folder = build(many_documents(40))
    audit = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert audit["train"]["examples"] == counts["train"]["examples"]
    assert [fault for fault in audit["faults"] if fault["is_hard"]] == []


def test_progress_counts_every_document_of_every_round(write_tokens, vocabulary_folder, tmp_path):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "examples").mkdir()
    write_tokens(tmp_path / "tokens", many_documents(20))
    told = []
    config = ExamplesConfig(pairing_rounds=2, held_out_fraction=0.0)
    build_examples(
        tmp_path / "tokens",
        vocabulary_folder,
        config,
        1,
        tmp_path / "examples",
        lambda done, total, unit, **measures: told.append((done, total, unit)),
    )
    assert told == [(20, 40, "documents"), (40, 40, "documents")]


def test_one_document_alone_cannot_give_an_honest_negative(build):
    with pytest.raises(CorpusError, match=r"1 document to train on.*examples\.objective: none"):
        build(many_documents(1))


def test_one_document_trains_without_pairs(build):
    rows, _, _ = build(many_documents(1), objective="none")
    assert rows["train"]


def test_titles_alone_give_no_pair(build):
    documents = [{"doc_id": number + 1, "sentences": [[10 + number] * 5]} for number in range(10)]
    with pytest.raises(CorpusError, match=r"no pair of sentences among .*examples\.objective: none"):
        build(documents)


def test_no_tokens_at_all_is_an_error(build):
    with pytest.raises(CorpusError, match="no document has tokens"):
        build([{"doc_id": 1, "sentences": [[]]}])


def test_sentences_that_do_not_add_up_are_an_error(build, monkeypatch):
    from bert_core.examples import token_documents

    copy_list = token_documents._copy_list

    def damaged(copy):
        copy_list(copy)
        if copy.target.dtype == np.int32:  # lengths of sentences; there are no entities
            copy.target[:] += 1

    monkeypatch.setattr(token_documents, "_copy_list", damaged)
    with pytest.raises(StoreError, match="its sentences have 60 tokens, its row 54"):
        build(many_documents(4))
