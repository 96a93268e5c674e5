"""The mean cross-entropy of logits over a vocabulary, and how often the highest logit is right.

On CPU loss and gradient come from one compiled pass (`cross_entropy_kernel.py`); elsewhere from torch. Logits in
bfloat16 are widened first, so that sums run in float32, and their gradient is rounded once.

Source: `torch.nn.functional.cross_entropy`, whose values these are.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bert_core.model.kernels import as_numbers, in_threads

IGNORED_LABEL = -100
"""Label of a row that counts for nothing."""
_PART_LOGITS = 32768
"""A thread takes at least so many logits."""


def cross_entropy(logits_NV: Tensor, labels_N: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy summed over the rows and divided by `num_labels`, and the number of hits.

    Example: logits `[[0, 0], [9, 0]]` with labels `[1, -100]` and `num_labels=1` -> ln 2 and no hit.

    Args:
        logits_NV: N rows over V classes, floating point.
        labels_N: class of each row, -100 for none, int64.
        num_labels: what the sum is divided by; 0 counts as 1.

    Returns:
        the loss in nats, differentiable, float32, and the hits; both 0-dimensional.
    """
    if logits_NV.device.type == "cpu" and logits_NV.dtype in (torch.float32, torch.bfloat16):
        loss, hits = _CrossEntropy.apply(logits_NV, labels_N, max(1, num_labels))  # type: ignore[misc]
        return loss, hits
    wide_NV = logits_NV.float()
    loss = F.cross_entropy(wide_NV, labels_N, ignore_index=IGNORED_LABEL, reduction="sum") / max(1, num_labels)
    with torch.no_grad():
        return loss, (wide_NV.argmax(-1) == labels_N).sum()


class _CrossEntropy(torch.autograd.Function):
    """The gradient is made together with the loss, because then the exponentials are at hand."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
        """Return loss and hits."""
        from bert_core.model.cross_entropy_kernel import rows_bfloat16, rows_float32

        num_rows, num_classes = logits.shape
        is_needed = ctx.needs_input_grad[0]
        gradient = torch.empty((num_rows if is_needed else 0, num_classes), dtype=logits.dtype)
        kernel = rows_float32 if logits.dtype == torch.float32 else rows_bfloat16
        source, target = as_numbers(logits.detach().contiguous()), as_numbers(gradient)
        of_rows = labels.numpy()
        if num_rows and int(of_rows.max()) >= num_classes:
            raise IndexError(f"label {int(of_rows.max())}, expected one below the {num_classes} classes of the logits")
        losses, hits = np.empty(num_rows, np.float64), np.empty(num_rows, np.bool_)

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            kernel(source[rows], of_rows[rows], 1.0 / num_labels, losses[rows], hits[rows], target[rows])

        in_threads(work, num_rows, smallest=-(-_PART_LOGITS // num_classes))
        if is_needed:
            ctx.save_for_backward(gradient)
        found = torch.tensor(losses.sum() / num_labels, dtype=torch.float32)
        count = torch.tensor(int(np.count_nonzero(hits)))
        ctx.mark_non_differentiable(count)
        return found, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the logits."""
        (gradient,) = ctx.saved_tensors
        return (gradient if float(gradients[0]) == 1.0 else gradient * gradients[0]), None, None
