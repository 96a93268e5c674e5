"""A linear-chain conditional random field over the tags of a text: loss by the forward algorithm, tags by Viterbi.

The score of a path is the sum of its tokens' scores, of the transitions between neighbours, and of its first and last
tag. Transitions that no tagging has (O to I-x, B-x to I-y) cost `FORBIDDEN` and are never learned. A text may begin or
end inside an entity, for a window of a longer text can.

Scored tokens of a row are one contiguous run; what lies around it ([CLS], padding, tokens scored in another window) is
passed over. No second-order transitions, no beam.

Letters at the end of a name are the axes of a tensor: B examples, S positions, T tags (T before, then T after).

Source: Lafferty, McCallum and Pereira 2001; Lample et al. 2016 (arXiv:1603.01360), section 2; Rabiner 1989 for both
algorithms.
"""
# ruff: noqa: N803, N806, N815 -- capitals at the end of a name are axes

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FORBIDDEN = -10_000.0
"""Score of a transition that no tagging has; far below any sum of learned scores."""


class ConditionalRandomField(nn.Module):
    """Scores of transitions, of the first and of the last tag."""

    allowed_TT: Tensor

    def __init__(self, tags: Sequence[str]) -> None:
        """Make the field of named tags, such as `["O", "B-nr", "I-nr"]`; its scores are drawn by `initialise`."""
        super().__init__()
        self.first = nn.Parameter(torch.zeros(len(tags)))
        self.last = nn.Parameter(torch.zeros(len(tags)))
        self.transitions = nn.Parameter(torch.zeros(len(tags), len(tags)))
        allowed = torch.tensor([[may_follow(before, after) for after in tags] for before in tags])
        self.register_buffer("allowed_TT", allowed, persistent=False)

    def loss(self, scores_BST: Tensor, tags_BS: Tensor) -> Tensor:
        """Return the negative log-likelihood of the tags for each scored token, nats; 0 where there is none.

        Args:
            scores_BST: score of each tag at each token.
            tags_BS: true tags, int64; negative where a token is not scored.
        """
        scored_BS = tags_BS >= 0
        total_B = self.log_partition(scores_BST, scored_BS)
        gold_B = self.path_score(scores_BST, tags_BS)
        return (total_B - gold_B).sum() / scored_BS.sum().clamp(min=1)

    def path_score(self, scores_BST: Tensor, tags_BS: Tensor) -> Tensor:
        """Return the score of one path a row, (B,); arguments as `loss`."""
        scored_BS = tags_BS >= 0
        tags_BS = tags_BS.clamp(min=0)
        both_BS = scored_BS[:, 1:] & scored_BS[:, :-1]
        steps_BS = self._transitions()[tags_BS[:, :-1], tags_BS[:, 1:]]
        is_first_BS, is_last_BS = _ends(scored_BS)
        of_tokens_BS = scores_BST.float().gather(-1, tags_BS[..., None])[..., 0] * scored_BS
        of_ends_BS = self.first[tags_BS] * is_first_BS + self.last[tags_BS] * is_last_BS
        return (of_tokens_BS + of_ends_BS).sum(1) + (steps_BS * both_BS).sum(1)

    def log_partition(self, scores_BST: Tensor, scored_BS: Tensor) -> Tensor:
        """Return the logarithm of the summed exponential scores of all paths, (B,); 0 for a row without tokens."""
        scores_BST, transitions_TT = scores_BST.float(), self._transitions()
        is_first_BS, _ = _ends(scored_BS)
        forward_BT = torch.zeros_like(scores_BST[:, 0])
        for position in range(scores_BST.shape[1]):
            reached_BT = torch.logsumexp(forward_BT[:, :, None] + transitions_TT, dim=1)
            reached_BT = torch.where(is_first_BS[:, position, None], self.first.expand_as(reached_BT), reached_BT)
            reached_BT = reached_BT + scores_BST[:, position]
            forward_BT = torch.where(scored_BS[:, position, None], reached_BT, forward_BT)
        return torch.logsumexp(forward_BT + self.last, dim=1) * scored_BS.any(1)

    @torch.no_grad()
    def best_path(self, scores_BST: Tensor, scored_BS: Tensor) -> Tensor:
        """Return the path of the highest score, int64 (B, S); 0 where a token is not scored."""
        scores_BST, transitions_TT = scores_BST.float(), self._transitions()
        is_first_BS, _ = _ends(scored_BS)
        best_BT = torch.zeros_like(scores_BST[:, 0])
        same_BT = torch.arange(best_BT.shape[1], device=best_BT.device).expand_as(best_BT)
        came_from = []
        for position in range(scores_BST.shape[1]):
            reached = (best_BT[:, :, None] + transitions_TT).max(dim=1)
            goes_on_B1 = (scored_BS[:, position] & ~is_first_BS[:, position])[:, None]
            came_from.append(torch.where(goes_on_B1, reached.indices, same_BT))
            reached_BT = torch.where(is_first_BS[:, position, None], self.first.expand_as(best_BT), reached.values)
            reached_BT = reached_BT + scores_BST[:, position]
            best_BT = torch.where(scored_BS[:, position, None], reached_BT, best_BT)
        tag_B = (best_BT + self.last).argmax(1)
        tags_BS = torch.zeros_like(scored_BS, dtype=torch.int64)
        for position in reversed(range(scores_BST.shape[1])):
            tags_BS[:, position] = tag_B
            tag_B = came_from[position].gather(1, tag_B[:, None])[:, 0]
        return tags_BS * scored_BS

    def marginals(self, scores_BST: Tensor, scored_BS: Tensor) -> Tensor:
        """Return the probability of each tag at each token over all paths, (B, S, T); 0 where not scored.

        They are the gradient of `log_partition` by the scores, which is what the backward algorithm computes.
        """
        with torch.enable_grad():
            scores_BST = scores_BST.detach().float().requires_grad_(True)
            (found_BST,) = torch.autograd.grad(self.log_partition(scores_BST, scored_BS).sum(), scores_BST)
        return found_BST

    def _transitions(self) -> Tensor:
        return torch.where(self.allowed_TT, self.transitions, FORBIDDEN)


def may_follow(before: str, after: str) -> bool:
    """Say whether a tag may stand behind another.

    I-x and E-x go on with an entity of type x and need one that is open, which B-x and I-x leave. O and the beginning
    of an entity may follow any tag: a single B-x without E-x is read as an entity (`corpus/tag_schemes.py`).

    Example: `may_follow("O", "I-nr")` and `may_follow("B-nr", "I-ns")` are false, `may_follow("B-nr", "O")` is true.
    """
    kind, _, type_after = after.partition("-")
    if kind in ("I", "E"):
        return before in (f"B-{type_after}", f"I-{type_after}")
    return True


def _ends(scored_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Return which tokens are the first and the last scored ones of their row, bool (B, S)."""
    none_B1 = torch.zeros_like(scored_BS[:, :1])
    before_BS = torch.cat([none_B1, scored_BS[:, :-1]], dim=1)
    after_BS = torch.cat([scored_BS[:, 1:], none_B1], dim=1)
    return scored_BS & ~before_BS, scored_BS & ~after_BS
