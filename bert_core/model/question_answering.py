"""The head of extractive question answering, and the search for the best spans in its logits.

Weights, logits and loss are those of transformers' `BertForQuestionAnswering`. Which answer is given for a question
with several windows, and when none is, is the matter of `training/answers.py`.

Letters at the end of a name are the axes of a tensor: B examples, S positions, D hidden size, W lengths of a span, K
best spans.

Source: Devlin et al. 2019 (arXiv:1810.04805), section 4.2.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.config.tasks import Family
from bert_core.model.encoder import BertConfig, BertEncoder


class BertForExtractiveQA(nn.Module):
    """Two numbers for every token: how well an answer begins there, and how well it ends there; it has no pooler.

    Padding can be neither: its logits are the lowest numbers, so that a loss does not depend on what a row stands with.
    """

    family: Family = "extractive_qa"

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.bert.add_module("pooler", nn.Identity())
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(self, input_ids_BS: Tensor, token_type_ids_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return logits of beginnings and ends, (B, S, 2); arguments as `BertEncoder.forward`."""
        hidden_BSD, _ = self.bert(input_ids_BS, token_type_ids_BS, lengths_B)
        logits_BS2 = self.qa_outputs(hidden_BSD)
        if lengths_B is None:
            return logits_BS2
        is_padding_BS = torch.arange(input_ids_BS.shape[1], device=lengths_B.device) >= lengths_B[:, None]
        return logits_BS2.masked_fill(is_padding_BS[..., None], torch.finfo(logits_BS2.dtype).min)

    def loss(self, logits_BS2: Tensor, labels_B2: Tensor, class_weights_C: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy of both ends, nats.

        Args:
            logits_BS2: of `forward`.
            labels_B2: positions of the answer's first and last token, int64; 0 where there is none.
            class_weights_C: answers have no classes.
        """
        start_BS, end_BS = logits_BS2.float().unbind(-1)
        return (F.cross_entropy(start_BS, labels_B2[:, 0]) + F.cross_entropy(end_BS, labels_B2[:, 1])) / 2


def best_spans(
    logits_BS2: Tensor, may_begin_BS: Tensor, may_end_BS: Tensor, max_answer_tokens: int, num_best: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the spans with the highest sums of both logits, among all spans that are allowed.

    Example: logits of beginnings `[0, 3, 1]`, of ends `[0, 1, 2]`, every position allowed, at most 2 tokens: the best
    span is positions 1 to 2 with 5, then 1 to 1 with 4.

    Args:
        logits_BS2: of the model.
        may_begin_BS: where an answer may begin, bool.
        may_end_BS: where it may end, bool.
        max_answer_tokens: longest span.
        num_best: spans wanted of each row, K.

    Returns:
        Sums, best first, -inf where there are no more spans, float32 (B, K); first and last positions, int64 (B, K).
    """
    start_BS, end_BS = logits_BS2.float().unbind(-1)
    start_BS = start_BS.masked_fill(~may_begin_BS, -torch.inf)
    end_BS = end_BS.masked_fill(~may_end_BS, -torch.inf)
    num_lengths = min(max_answer_tokens, start_BS.shape[1])
    ends_BSW = F.pad(end_BS, (0, num_lengths - 1), value=-torch.inf).unfold(1, num_lengths, 1)
    sums_BX = (start_BS[..., None] + ends_BSW).flatten(1)
    best = sums_BX.topk(min(num_best, sums_BX.shape[1]))
    firsts_BK = best.indices // num_lengths
    return best.values, firsts_BK, firsts_BK + best.indices % num_lengths
