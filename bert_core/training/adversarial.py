"""Adversarial training by the fast gradient method: a second pass with word vectors moved against the model.

After the backward pass each example's word vectors are moved by epsilon along the gradient of its loss, scaled to unit
length; the loss there is added. Both passes draw the same dropout. The weights themselves are never moved. A step
costs two passes.

Source: Miyato, Dai and Goodfellow 2017 (arXiv:1605.07725), section 3, without their normalised embeddings.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WordVectors:
    """The word vectors of the last pass, and how far the next pass moves them."""

    def __init__(self) -> None:
        self._seen: Tensor | None = None
        self._moved_by: Tensor | None = None

    def move_against(self, epsilon: float) -> None:
        """Let the next pass see the vectors moved; needs a backward pass before.

        Args:
            epsilon: L2 norm of the move of one example, over all its tokens.
        """
        assert self._seen is not None, "no pass before"
        gradient_BSD = self._seen.grad
        assert gradient_BSD is not None, "no backward pass before"
        norm_B11 = gradient_BSD.flatten(1).norm(dim=1)[:, None, None]
        self._moved_by = epsilon * gradient_BSD / norm_B11.clamp(min=1e-12)

    def _hook(self, module: nn.Module, inputs: Any, vectors_BSD: Tensor) -> Tensor:
        if self._moved_by is not None:
            moved_BSD, self._moved_by = vectors_BSD + self._moved_by, None
            return moved_BSD
        if torch.is_grad_enabled():
            if not vectors_BSD.requires_grad:  # the embeddings are frozen
                vectors_BSD = vectors_BSD.detach().requires_grad_(True)
            vectors_BSD.retain_grad()
            self._seen = vectors_BSD
        return vectors_BSD


@contextmanager
def watching_word_vectors(model: nn.Module) -> Iterator[WordVectors]:
    """Watch the word vectors of a model with an encoder as `bert` while inside."""
    watched = WordVectors()
    encoder: Any = model.bert
    handle = encoder.embeddings.word_embeddings.register_forward_hook(watched._hook)
    try:
        yield watched
    finally:
        handle.remove()
