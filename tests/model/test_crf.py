import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.model.crf import FORBIDDEN, ConditionalRandomField, may_follow
from bert_core.model.encoder import initialise

TAGS = ["O", "B-x", "I-x", "B-y", "I-y"]


def _field(seed: int = 1) -> ConditionalRandomField:
    field = ConditionalRandomField(TAGS)
    initialise(field, seed, 1.0)
    return field


def _score_by_hand(field: ConditionalRandomField, scores: torch.Tensor, path: tuple[int, ...]) -> float:
    """Score one path of a row without padding, tag by tag."""
    total = float((field.first[path[0]] + field.last[path[-1]]).detach())
    total += sum(float(scores[position, tag]) for position, tag in enumerate(path))
    for before, after in itertools.pairwise(path):
        allowed = may_follow(TAGS[before], TAGS[after])
        total += float(field.transitions[before, after].detach()) if allowed else FORBIDDEN
    return total


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), begin=st.integers(0, 2), length=st.integers(1, 4), end=st.integers(0, 2))
def test_forward_and_viterbi_equal_the_sum_and_the_best_over_all_paths(seed, begin, length, end):
    field = _field(seed)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, begin + length + end, len(TAGS), generator=generator) * 3
    scored = torch.zeros(1, begin + length + end, dtype=torch.bool)
    scored[0, begin : begin + length] = True
    run = scores[0, begin : begin + length]
    paths = list(itertools.product(range(len(TAGS)), repeat=length))
    by_hand = torch.tensor([_score_by_hand(field, run, path) for path in paths])

    total = field.log_partition(scores, scored)
    torch.testing.assert_close(total[0], torch.logsumexp(by_hand, 0), rtol=1e-4, atol=1e-4)
    best = field.best_path(scores, scored)
    assert tuple(best[0, begin : begin + length].tolist()) == paths[int(by_hand.argmax())]
    assert best[~scored].tolist() == [0] * (begin + end)

    marginals = field.marginals(scores, scored)
    shares = by_hand.softmax(0)
    for position in range(length):
        expected = torch.zeros(len(TAGS)).index_add(0, torch.tensor([path[position] for path in paths]), shares)
        torch.testing.assert_close(marginals[0, begin + position], expected, rtol=1e-3, atol=1e-4)
    assert float(marginals[~scored].abs().sum()) == 0.0

    gold = torch.full((1, begin + length + end), -100)
    gold[0, begin : begin + length] = torch.tensor(paths[seed % len(paths)])
    expected = (torch.logsumexp(by_hand, 0) - by_hand[seed % len(paths)]) / length
    torch.testing.assert_close(field.loss(scores, gold), expected, rtol=1e-3, atol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours():
    field = _field()
    scores = torch.randn(3, 6, len(TAGS), generator=torch.Generator().manual_seed(4))
    scored = torch.tensor([[0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.bool)
    together = field.log_partition(scores, scored)
    for row in range(3):
        torch.testing.assert_close(field.log_partition(scores[row : row + 1], scored[row : row + 1])[0], together[row])
    assert float(together[2].detach()) == 0.0  # a row without tokens has one path, the empty one


def test_a_path_that_no_tagging_has_is_never_the_best():
    field = _field()
    scores = torch.zeros(1, 2, len(TAGS))
    scores[0, 0, TAGS.index("O")] = scores[0, 1, TAGS.index("I-x")] = 50.0
    assert field.best_path(scores, torch.ones(1, 2, dtype=torch.bool)).tolist() != [[0, TAGS.index("I-x")]]


def test_the_loss_has_the_gradient_of_marginals_less_gold():
    field = _field()
    scores = torch.randn(2, 5, len(TAGS), generator=torch.Generator().manual_seed(7)).requires_grad_(True)
    gold = torch.tensor([[-100, 1, 2, 0, -100], [-100, 3, 4, 4, 0]])
    field.loss(scores, gold).backward()
    marginals = field.marginals(scores, gold >= 0)
    expected = (marginals - torch.nn.functional.one_hot(gold.clamp(min=0), len(TAGS)) * (gold >= 0)[..., None]) / 7
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [("O", "I-x", False), ("B-x", "I-y", False), ("B-x", "I-x", True), ("E-x", "I-x", False), ("I-x", "E-x", True),
     ("S-x", "E-x", False), ("I-x", "B-y", True), ("O", "S-x", True), ("B-x", "O", True)],
)  # fmt: skip
def test_only_an_open_entity_goes_on(before, after, allowed):
    assert may_follow(before, after) == allowed
