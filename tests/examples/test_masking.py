"""Masks: what may be hidden, how much, what it becomes, and that nothing but the key decides."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from bert_core.config import MaskingConfig
from bert_core.errors import RequestError
from bert_core.examples import masking_kernels
from bert_core.examples.draw_kernels import uniform
from bert_core.examples.masking import MaskVocabulary, mask_batch
from bert_core.examples.thesaurus import SimilarWords
from bert_core.randomness import draws, key_of

POLICIES = ["token", "whole_word", "ngram", "span", "entity", "similar_word"]
WORD_POLICIES = POLICIES[1:]
PAD, UNK, CLS, SEP, MASK = range(5)
SIMILAR = {(token,): {(token + 300,)} for token in range(10, 40)} | {(token + 300,): set() for token in range(10, 40)}
SIMILAR |= {(token, token + 1): {(token + 300, token + 301), (token + 500, token + 501)} for token in range(10, 40)}
SIMILAR |= {(token + by, token + by + 1): set() for token in range(10, 40) for by in (300, 500)}
THESAURUS = SimilarWords.of(SIMILAR)
VOCABULARY = MaskVocabulary(
    mask_id=MASK,
    special_ids=np.array([PAD, CLS, SEP, MASK]),
    unk_id=UNK,
    pool=np.arange(1_000, 2_000, dtype=np.uint32),
    similar=THESAURUS,
)


@dataclass
class Example:
    """One example as lists."""

    ids: list[int]
    word_starts: list[int]
    entities: list[tuple[int, int]]
    example_id: int


def mask(examples, policy="token", seed=1, epoch=0, vocabulary=VOCABULARY, **shares):
    """Mask examples as one batch; return (masked ids, is target) of each."""
    offsets = np.cumsum([0] + [len(example.ids) for example in examples])
    masked_ids, is_target = mask_batch(
        np.array([token for example in examples for token in example.ids], np.int32),
        offsets,
        np.array([start for example in examples for start in example.word_starts], np.uint8),
        np.array([start for example in examples for start, _ in example.entities], np.int32),
        np.array([length for example in examples for _, length in example.entities], np.int32),
        np.cumsum([0] + [len(example.entities) for example in examples]),
        np.array([example.example_id for example in examples], np.uint64),
        seed,
        epoch,
        MaskingConfig(policy=policy, thesaurus="read before" if policy == "similar_word" else None, **shares),
        vocabulary,
    )
    bounds = list(pairwise(offsets))
    return [(masked_ids[low:high], is_target[low:high].astype(bool)) for low, high in bounds]


def plain(num_tokens, word_tokens=1, example_id=1, entities=()):
    """An example `[CLS] ... [SEP]` of words of equal length."""
    ids = [CLS, *range(10, 10 + num_tokens), SEP]
    starts = [1, *(int(index % word_tokens == 0) for index in range(num_tokens)), 1]
    return Example(ids, starts, list(entities), example_id)


def maskable(example):
    return [position for position, token in enumerate(example.ids) if token > MASK]


def words_of(example):
    """Words as lists of maskable positions; a special token ends a word."""
    words, is_open = [], False
    for position, token in enumerate(example.ids):
        if example.word_starts[position]:
            is_open = False
        if token > MASK:
            if not is_open:
                words.append([])
            words[-1].append(position)
            is_open = True
    return words


@st.composite
def examples_of_any_kind(draw):
    """Pairs with [UNK] tokens, words of any length and entities anywhere."""
    segments = draw(st.lists(st.lists(st.sampled_from([UNK, *range(10, 40)]), max_size=40), min_size=1, max_size=2))
    ids = [CLS]
    for segment in segments:
        ids += [*segment, SEP]
    starts = [1 if token in (CLS, SEP) else draw(st.integers(0, 1)) for token in ids]
    starts = [1 if index and ids[index - 1] in (CLS, SEP) else start for index, start in enumerate(starts)]
    entities, at = [], 1
    while at < len(ids) - 1 and draw(st.booleans()):
        start = at + draw(st.integers(0, 5))
        length = draw(st.integers(1, 6))
        if start + length >= len(ids) or SEP in ids[start : start + length]:
            break
        entities.append((start, length))
        at = start + length
    return Example(ids, starts, entities, draw(st.integers(0, 2**64 - 1)))


@settings(max_examples=300, deadline=None)
@given(st.lists(examples_of_any_kind(), min_size=1, max_size=4), st.sampled_from(POLICIES), st.integers(0, 3))
def test_mask_never_selects_special_tokens_or_unknown(examples, policy, epoch):
    for example, (masked_ids, is_target) in zip(examples, mask(examples, policy, epoch=epoch), strict=True):
        ids = np.array(example.ids)
        assert not is_target[ids <= MASK].any()
        assert (masked_ids[~is_target] == ids[~is_target]).all()
        changed = is_target & (masked_ids != ids) & (masked_ids != MASK)
        allowed = [*VOCABULARY.pool, *(THESAURUS.tokens if policy == "similar_word" else ())]
        assert np.isin(masked_ids[changed], allowed).all()


@settings(max_examples=300, deadline=None)
@given(examples_of_any_kind(), st.sampled_from([0.02, 0.15, 0.4, 0.5]))
def test_token_policy_hides_the_exact_count(example, probability):
    [(_, is_target)] = mask([example], mlm_probability=probability)
    num_maskable = len(maskable(example))
    assert is_target.sum() == (max(1, round(probability * num_maskable)) if num_maskable else 0)


@settings(max_examples=500, deadline=None)
@given(examples_of_any_kind(), st.sampled_from(WORD_POLICIES), st.sampled_from([0.02, 0.15, 0.5]))
def test_word_policies_never_split_a_word_and_keep_to_the_stated_count(example, policy, probability):
    [(_, is_target)] = mask([example], policy, mlm_probability=probability)
    words = words_of(example)
    if not words:
        assert is_target.sum() == 0
        return
    budget = max(1, round(probability * len(maskable(example))))
    sizes = [len(word) for word in words]
    if len(words) == 1 and sizes[0] > budget:
        hidden = [index for index, position in enumerate(words[0]) if is_target[position]]
        assert hidden == list(range(hidden[0], hidden[0] + budget))
        return
    assert all(is_target[word].all() or not is_target[word].any() for word in words)
    if min(sizes) > budget:
        assert is_target.sum() == min(sizes)
        return
    left = [size for word, size in zip(words, sizes, strict=True) if not is_target[word].any()]
    assert 1 <= is_target.sum() <= budget
    assert not left or budget - is_target.sum() < min(left)


@settings(max_examples=100, deadline=None)
@given(st.lists(examples_of_any_kind(), min_size=1, max_size=6), st.sampled_from(POLICIES), st.randoms())
def test_same_key_gives_the_same_mask_in_any_batch(examples, policy, random):
    together = mask(examples, policy)
    order = list(range(len(examples)))
    random.shuffle(order)
    shuffled = mask([examples[index] for index in order], policy)
    for place, index in enumerate(order):
        [alone] = mask([examples[index]], policy)
        for found in (shuffled[place], together[index]):
            assert found[0].tolist() == alone[0].tolist()
            assert found[1].tolist() == alone[1].tolist()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 2}])
def test_another_epoch_or_seed_gives_another_mask(policy, other):
    example = plain(100, 2, entities=[(3, 4), (31, 2)])
    [(_, first)], [(_, second)] = mask([example], policy), mask([example], policy, **other)
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_equal_texts_of_other_ids_get_other_masks(policy):
    (_, first), (_, second) = mask([plain(100, 2, example_id=1), plain(100, 2, example_id=2)], policy)
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("policy", "targets", "shown"),
    [
        ("token", [12, 21, 22, 27, 33, 34], [21, 4, 31, 1529, 4, 4]),
        ("whole_word", [3, 4, 27, 28, 33, 34], [4, 13, 1529, 4, 4, 4]),
        ("ngram", [27, 28, 33, 34, 35, 36], [1529, 4, 4, 4, 4, 1286]),
        ("span", [27, 28, 29, 30, 33, 34], [4, 4, 4, 4, 4, 4]),
        ("entity", [7, 8, 9, 10, 21, 22], [4, 4, 1494, 4, 4, 31]),
        ("similar_word", [27, 28, 33, 34, 35, 36], [336, 337, 19, 20, 25, 26]),
    ],
)
def test_one_example_in_full(policy, targets, shown):
    """Pins the draws: a change of this result is a change of every mask of every run."""
    example = plain(40, 2, entities=[(7, 4), (21, 2)])
    [(masked_ids, is_target)] = mask([example], policy, seed=7)
    assert np.nonzero(is_target)[0].tolist() == targets
    assert masked_ids[is_target].tolist() == shown
    assert masked_ids[~is_target].tolist() == np.array(example.ids)[~is_target].tolist()


@pytest.mark.parametrize("policy", POLICIES)
def test_empty_batch_and_example_without_maskable_tokens(policy):
    assert mask([], policy) == []
    [(masked_ids, is_target)] = mask([Example([CLS, UNK, SEP], [1, 1, 1], [], 5)], policy)
    assert masked_ids.tolist() == [CLS, UNK, SEP]
    assert not is_target.any()


@pytest.mark.parametrize("policy", ["token", "whole_word", "ngram", "entity"])
def test_shares_of_mask_random_and_kept_hold_exact_tests(policy):
    examples = [plain(120, 2, example_id=number, entities=[(9, 2)]) for number in range(1_000)]
    kinds = np.zeros(3, np.int64)
    for example, (masked_ids, is_target) in zip(examples, mask(examples, policy), strict=True):
        shown, ids = masked_ids[is_target], np.array(example.ids)[is_target]
        kinds += [(shown == MASK).sum(), ((shown != MASK) & (shown != ids)).sum(), (shown == ids).sum()]
    for count, share in zip(kinds, (0.8, 0.1, 0.1), strict=True):
        assert binomtest(int(count), int(kinds.sum()), share).pvalue > 0.001


@pytest.mark.parametrize(("mask_share", "random_share"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_extreme_shares_are_kept_to(mask_share, random_share):
    examples = [plain(100, example_id=number) for number in range(50)]
    for masked_ids, is_target in mask(examples, mask_share=mask_share, random_share=random_share):
        shown = masked_ids[is_target]
        if mask_share:
            assert (shown == MASK).all()
        elif random_share:
            assert (shown >= 1_000).all()
        else:
            assert masked_ids.tolist() == examples[0].ids


def test_random_tokens_are_even_over_the_pool():
    examples = [plain(500, example_id=number) for number in range(400)]
    shown = [masked_ids[is_target] for masked_ids, is_target in mask(examples, mask_share=0.0, random_share=1.0)]
    counts = np.bincount(np.concatenate(shown) - 1_000, minlength=1_000)
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("policy", ["token", "whole_word"])
def test_every_position_is_hidden_equally_often(policy):
    examples = [plain(40, example_id=number) for number in range(4_000)]
    counts = np.sum([is_target for _, is_target in mask(examples, policy)], axis=0)[1:-1]
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(
    ("cumulative", "expected"),
    [
        (masking_kernels.NGRAM_CUMULATIVE, [0.4, 0.3, 0.2, 0.1]),
        (masking_kernels.SPAN_CUMULATIVE, [0.2 * 0.8**k / (1 - 0.8**10) for k in range(10)]),
    ],
)
def test_run_lengths_follow_their_distribution(cumulative, expected):
    values = draws(key_of(1, "lengths"), 20_000)
    found = [masking_kernels.drawn_length(uniform(value), cumulative) for value in values]
    counts = np.bincount(found, minlength=len(expected) + 1)[1:]
    assert chisquare(counts, np.array(expected) * len(values)).pvalue > 0.001


def test_mean_drawn_span_is_that_of_the_paper():
    lengths = np.arange(1, 11)
    shares = np.diff(masking_kernels.SPAN_CUMULATIVE, prepend=0.0)
    assert round(float((lengths * shares).sum()), 1) == 3.8


def runs_of(is_target):
    """Lengths of the runs of hidden tokens."""
    borders = np.nonzero(np.diff(np.concatenate([[0], is_target.astype(int), [0]])))[0]
    return borders[1::2] - borders[::2]


def test_first_span_of_a_sparse_mask_has_the_drawn_length():
    """With a budget of 10 in 500 tokens the first span always fits; runs are as long as spans can be, never longer."""
    examples = [plain(500, example_id=number) for number in range(2_000)]
    runs = [runs_of(is_target) for _, is_target in mask(examples, "span", mlm_probability=0.02)]
    assert max(run.max() for run in runs) <= 10
    mean = float(np.mean(np.concatenate(runs)))
    single = mask(examples, "whole_word", mlm_probability=0.02)
    assert mean > 2.5 > 1.2 > float(np.mean(np.concatenate([runs_of(is_target) for _, is_target in single])))


def test_a_span_becomes_one_thing():
    examples = [plain(300, example_id=number) for number in range(300)]
    kinds = np.zeros(3, np.int64)
    for example, (masked_ids, is_target) in zip(examples, mask(examples, "span", mlm_probability=0.02), strict=True):
        shown, ids = masked_ids[is_target], np.array(example.ids)[is_target]
        kinds += [(shown == MASK).sum(), ((shown != MASK) & (shown != ids)).sum(), (shown == ids).sum()]
        if len(runs_of(is_target)) == 1 and is_target.sum() > 1 and (shown != MASK).any():
            assert (shown != MASK).all()
    assert binomtest(int(kinds[0] // 3), int(kinds.sum() // 3), 0.8).pvalue > 0.001  # three tokens a span


@pytest.mark.parametrize("between", [SEP, UNK])
def test_spans_end_at_special_and_unknown_tokens(between):
    """Four words on each side, budget 2: the words beside the border go together only where two spans are so drawn.

    Spans begin with the last word before the border in 1 of 8 examples; 78 % of them would go on over it.
    """
    ids = [CLS, 10, 11, 12, 13, between, 14, 15, 16, 17, SEP]
    examples = [Example(ids, [1] * len(ids), [], number) for number in range(2_000)]
    masks = [np.nonzero(is_target)[0].tolist() for _, is_target in mask(examples, "span", mlm_probability=0.25)]
    assert {len(hidden) for hidden in masks} == {2}
    assert masks.count([4, 6]) / len(masks) < 0.05 < masks.count([3, 4]) / len(masks)


def test_entity_policy_spends_about_half_on_entities_while_whole_word_does_not():
    entities = [(1, 4), (21, 4), (41, 4), (61, 4)]  # 16 of 80 tokens; budget 12, half 6
    examples = [plain(80, 1, number, entities) for number in range(300)]
    inside = np.zeros(82, bool)
    for start, length in entities:
        inside[start : start + length] = True
    shares = {}
    for policy in ("entity", "whole_word"):
        hidden = np.array([is_target for _, is_target in mask(examples, policy)])
        assert (hidden.sum(1) == 12).all()
        shares[policy] = hidden[:, inside].sum() / hidden.sum()
        if policy == "entity":
            whole = [[row[start : start + length].all() for start, length in entities] for row in hidden]
            assert min(sum(row) for row in whole) == 2  # two entities of four tokens reach six
    assert 0.6 < shares["entity"] < 0.8
    assert 0.15 < shares["whole_word"] < 0.25


def test_entity_policy_without_entities_is_whole_word():
    examples = [plain(90, 3, number) for number in range(50)]
    for (first, _), (second, _) in zip(mask(examples, "entity"), mask(examples, "whole_word"), strict=True):
        assert first.tolist() == second.tolist()


def test_entity_that_begins_inside_a_word_takes_the_word():
    """Words of three tokens at 1-3, 4-6, ...; the entity 5-7 overlaps the second and the third word."""
    examples = [plain(60, 3, number, [(5, 3)]) for number in range(50)]
    for _, is_target in mask(examples, "entity"):
        assert is_target[4:10].all()


def test_example_of_one_long_word_loses_neighbouring_tokens():
    example = plain(20, 20)
    [(_, is_target)] = mask([example], "whole_word")
    assert runs_of(is_target).tolist() == [3]


def test_where_no_word_fits_the_shortest_is_hidden_whole():
    starts = [1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1]  # words of 4, 3 and 4 tokens, budget 2
    example = Example([CLS, *range(10, 21), SEP], starts, [], 3)
    for policy in WORD_POLICIES:
        [(_, is_target)] = mask([example], policy)
        assert np.nonzero(is_target)[0].tolist() == [5, 6, 7]


def test_similar_word_hides_what_ngram_hides():
    examples = [plain(90, 2, number) for number in range(50)]
    for (_, first), (_, second) in zip(mask(examples, "similar_word"), mask(examples, "ngram"), strict=True):
        assert first.tolist() == second.tolist()


def kinds_of_words(examples, masks):
    """Count the hidden words that became a similar word, another word, and themselves."""
    kinds = np.zeros(3, np.int64)
    for example, (masked_ids, is_target) in zip(examples, masks, strict=True):
        for word in words_of(example):
            if is_target[word].all():
                old, new = tuple(example.ids[place] for place in word), tuple(masked_ids[word].tolist())
                kinds[0 if new in THESAURUS.similar_to(old) else 2 if new == old else 1] += 1
                assert len(old) == len(new)
                assert new == old or new in SIMILAR or set(new) <= set(VOCABULARY.pool.tolist())
    return kinds


def test_shares_of_similar_random_and_kept_words_hold_exact_tests():
    examples = [
        Example([CLS, *[10, 11, 12, 13, 14] * 12, SEP], [1, *[1, 0, 1, 1, 0] * 12, 1], [], n) for n in range(900)
    ]
    kinds = kinds_of_words(examples, mask(examples, "similar_word"))
    for count, share in zip(kinds, (0.8, 0.1, 0.1), strict=True):
        assert binomtest(int(count), int(kinds.sum()), share).pvalue > 0.001


def test_similar_words_are_taken_equally_often():
    examples = [Example([CLS, *[10, 11] * 20, SEP], [1, *[1, 0] * 20, 1], [], number) for number in range(600)]
    shown = [
        masked_ids[is_target].reshape(-1, 2).tolist()
        for masked_ids, is_target in mask(examples, "similar_word", mask_share=1.0, random_share=0.0)
    ]
    firsts = [first for words in shown for first, second in words if second == first + 1]
    assert len(firsts) == sum(map(len, shown))
    assert chisquare([firsts.count(310), firsts.count(510)]).pvalue > 0.001


def test_a_word_without_similar_ones_becomes_a_random_word_of_its_length():
    """Words of two tokens that the thesaurus lacks become others of two tokens in it; those of three random tokens."""
    two = [Example([CLS, *[70, 75] * 20, SEP], [1, *[1, 0] * 20, 1], [], number) for number in range(200)]
    kinds = kinds_of_words(two, mask(two, "similar_word", mask_share=1.0, random_share=0.0))
    assert kinds[0] == kinds[2] == 0
    seen = {
        tuple(word)
        for masked_ids, is_target in mask(two, "similar_word", mask_share=1.0, random_share=0.0)
        for word in masked_ids[is_target].reshape(-1, 2).tolist()
    }
    assert seen == {word for word in SIMILAR if len(word) == 2}
    three = [plain(60, 3, number) for number in range(50)]
    for masked_ids, is_target in mask(three, "similar_word", mask_share=1.0, random_share=0.0):
        assert np.isin(masked_ids[is_target], VOCABULARY.pool).all()


def test_a_word_with_an_unknown_piece_is_no_word_of_the_thesaurus():
    examples = [Example([CLS, *[10, UNK] * 20, SEP], [1, *[1, 0] * 20, 1], [], number) for number in range(50)]
    for masked_ids, is_target in mask(examples, "similar_word", mask_share=1.0, random_share=0.0):
        assert np.isin(masked_ids[is_target], VOCABULARY.pool).all()


def test_an_empty_thesaurus_gives_random_tokens():
    vocabulary = replace(VOCABULARY, similar=SimilarWords.empty())
    [(masked_ids, is_target)] = mask(
        [plain(60)], "similar_word", vocabulary=vocabulary, mask_share=1.0, random_share=0.0
    )
    assert np.isin(masked_ids[is_target], VOCABULARY.pool).all()


def test_similar_words_need_their_thesaurus():
    with pytest.raises(RequestError, match=r"read without masking\.thesaurus"):
        mask([plain(10)], "similar_word", vocabulary=replace(VOCABULARY, similar=None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "similar_word"}, "thesaurus is empty; name a file of similar words: policy similar_word needs one"),
        ({"policy": "token", "thesaurus": "a.txt"}, "thesaurus is 'a.txt': policy similar_word needs one, token is"),
    ],
)
def test_a_thesaurus_goes_with_its_policy(settings, message):
    with pytest.raises(ValueError, match=message):
        MaskingConfig(**settings)


def test_vocabulary_from_folder_never_hides_its_special_tokens(vocabulary_folder, entries):
    vocabulary = MaskVocabulary.from_folder(vocabulary_folder)
    assert vocabulary.unmaskable.tolist() == [True] * 5
    assert vocabulary.mask_id == 4
    assert set(vocabulary.pool.tolist()) <= set(range(5, len(entries)))


def test_masks_do_not_depend_on_the_threads_that_draw_them():
    from concurrent.futures import ThreadPoolExecutor

    examples = [plain(100, 2, example_id=number, entities=[(9, 2)]) for number in range(64)]
    for policy in POLICIES:
        together = mask(examples, policy)
        with ThreadPoolExecutor(4) as pool:
            alone = list(pool.map(lambda example, policy=policy: mask([example], policy)[0], examples))
        assert [ids.tolist() for ids, _ in alone] == [ids.tolist() for ids, _ in together]


def ways_to_spend(budget, share_of_length):
    """Probabilities of the runs, ascending, that spans drawn one by one leave until the budget is spent."""
    if budget == 0:
        return {(): 1.0}
    found = {}
    for length, share in share_of_length.items():
        placed = min(length, budget)
        for runs, probability in ways_to_spend(budget - placed, share_of_length).items():
            key = tuple(sorted((*runs, placed)))
            found[key] = found.get(key, 0.0) + share * probability
    return found


def test_hidden_spans_are_as_long_as_the_geometric_distribution_says():
    """Eight of 4,000 words are hidden, so spans hardly ever touch; the last one is cut to what the budget leaves."""
    shares = dict(enumerate(np.diff(masking_kernels.SPAN_CUMULATIVE, prepend=0.0).tolist(), start=1))
    expected = ways_to_spend(8, shares)
    num_examples = 1_500
    examples = [plain(4_000, example_id=number) for number in range(num_examples)]
    found = {}
    for _, is_target in mask(examples, "span", mlm_probability=0.002):
        runs = tuple(sorted(runs_of(is_target).tolist()))
        found[runs] = found.get(runs, 0) + 1
    frequent = [runs for runs, share in expected.items() if share * num_examples >= 10]
    observed = [found.get(runs, 0) for runs in frequent]
    wanted = [expected[runs] * num_examples for runs in frequent]
    observed.append(num_examples - sum(observed))
    wanted.append(num_examples - sum(wanted))
    assert chisquare(observed, wanted).pvalue > 0.001
