"""AdamW with its parameter groups, the learning rate as a function of the step, and clipping that refuses NaN.

Used by pretraining and fine-tuning alike. The learning rate is computed from the step number, so there is no scheduler
state to save.

Source: Loshchilov and Hutter 2019 (arXiv:1711.05101); warm-up then linear decay as Devlin et al. 2019; no decay
on biases and layer norms as in their released code; layer-wise rates as Howard and Ruder 2018 (arXiv:1801.06146).
"""

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bert_core.config import OptimizationConfig


def build_optimizer(
    model: nn.Module, config: OptimizationConfig, num_steps: int
) -> tuple[torch.optim.AdamW, Callable[[int], float]]:
    """Build AdamW over `model` and the learning rate of each step.

    Example: with `learning_rate=1.0, warmup_fraction=0.5, schedule="linear"` and 4 steps the rates are
    0.5, 1.0, 1.0, 0.5.

    Args:
        model: its encoder's layers are numbered `encoder.layer.N` where `layer_decay` is below 1.
        config: the recipe's settings.
        num_steps: optimizer steps in all.

    Returns:
        the optimizer, and a function from step (0 .. num_steps - 1) to the peak-layer learning rate. Before each
        step give that rate to `set_learning_rate`.
    """
    num_layers = len({m[1] for name, _ in model.named_parameters() if (m := _LAYER.search(name))})
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name.endswith("bias") or "LayerNorm" in name else config.weight_decay
            factor = config.layer_decay ** (num_layers + 1 - _depth_of(name, num_layers))
            groups.setdefault((decay, factor), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "rate_factor": factor}
            for (decay, factor), parameters in groups.items()
        ],
        lr=config.learning_rate,
        betas=(0.9, config.adam_beta2),
        eps=1e-6,
        fused=True,
    )
    return optimizer, _schedule(config, num_steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its layer's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_factor"]


def clip_gradients(model: nn.Module, max_norm: float) -> float:
    """Scale gradients down to a global L2 norm of at most `max_norm`; return the norm before, maybe not finite.

    Gradients whose norm is not finite are left as they are: the caller must not step.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if bool(norm.isfinite()):
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)


def _schedule(config: OptimizationConfig, num_steps: int) -> Callable[[int], float]:
    num_warmup = round(config.warmup_fraction * num_steps)

    def rate(step: int) -> float:
        if step < num_warmup:
            return config.learning_rate * (step + 1) / num_warmup
        left = (num_steps - step) / max(1, num_steps - num_warmup)
        factor = {
            "linear": left,
            "cosine": 0.5 * (1.0 - math.cos(math.pi * left)),
            "constant": 1.0,
        }[config.schedule]
        return config.learning_rate * factor

    return rate


_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


def _depth_of(name: str, num_layers: int) -> int:
    """Return 0 for embeddings, N + 1 for layer N, num_layers + 1 for pooler and heads."""
    if match := _LAYER.search(name):
        return int(match[1]) + 1
    return 0 if "embeddings." in name else num_layers + 1
