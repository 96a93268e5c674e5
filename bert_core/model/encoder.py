"""The BERT encoder: embeddings, post-norm Transformer layers, pooler.

Module and parameter names are those of transformers' `BertModel`, except that query, key and value are one
projection, `attention.self.qkv` (`exchange.py` splits it when a model is saved). With the same weights, hidden states
and gradients equal transformers' in float32. On CPU attention has a backward pass of its own (`attention.py`), which
takes less than half the time of `F.scaled_dot_product_attention`; no mask is built for a batch without padding.

No decoder, no cross attention, no relative positions.

Letters at the end of a name are the axes of a tensor:
    B examples, S positions, D hidden size, H heads, K size of one head, V vocabulary entries, N predicted tokens.

Source: Devlin et al. 2019 (arXiv:1810.04805); Vaswani et al. 2017 (arXiv:1706.03762) for the layer.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.config import ModelConfig
from bert_core.errors import CheckpointError
from bert_core.model.attention import attention
from bert_core.model.dropout import Dropout, threshold_of
from bert_core.randomness import seed_of


@dataclass(frozen=True, kw_only=True, slots=True)
class BertConfig:
    """Sizes of an encoder under transformers' names."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise CheckpointError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )

    @classmethod
    def of(
        cls, model: ModelConfig, vocab_size: int, *, dropout: float | None = None, pad_token_id: int = 0
    ) -> "BertConfig":
        """Return the sizes that a recipe asks for.

        Args:
            model: the recipe's model.
            vocab_size: entries of the vocabulary.
            dropout: probability, 0 to 1; None for the recipe's.
            pad_token_id: id of [PAD].
        """
        dropout = model.dropout if dropout is None else dropout
        return cls(
            vocab_size=vocab_size,
            hidden_size=model.hidden_size,
            num_hidden_layers=model.num_layers,
            num_attention_heads=model.num_heads,
            intermediate_size=model.intermediate_size,
            max_position_embeddings=model.max_positions,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=pad_token_id,
        )


class BertEmbeddings(nn.Module):
    """Token, segment and learned position vectors, added and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids_BS: Tensor, token_type_ids_BS: Tensor, position_ids_BS: Tensor | None) -> Tensor:
        """Return vectors (B, S, D)."""
        if position_ids_BS is None:
            positions = self.position_embeddings.weight[: input_ids_BS.shape[1]]
        else:
            positions = self.position_embeddings(position_ids_BS)
        vectors_BSD = self.word_embeddings(input_ids_BS) + self.token_type_embeddings(token_type_ids_BS) + positions
        return self.dropout(self.LayerNorm(vectors_BSD))


class BertSelfAttention(nn.Module):
    """Scaled dot-product attention of several heads, softmax(q k' / sqrt(K)) v."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dropout = Dropout(config.attention_probs_dropout_prob)

    def forward(self, hidden_BSD: Tensor, bias_B11S: Tensor | None) -> Tensor:
        """Return the heads' outputs side by side, (B, S, D); the bias is (B, 1, 1, S) or (B, 1, S, S)."""
        num_examples, num_positions, hidden_size = hidden_BSD.shape
        head_size = hidden_size // self.num_heads
        qkv_BS3HK = self.qkv(hidden_BSD).view(num_examples, num_positions, 3, self.num_heads, head_size)
        dropout = self.dropout.probability if self.training else 0.0
        if qkv_BS3HK.device.type == "cpu" and qkv_BS3HK.dtype in (torch.float32, torch.bfloat16):
            return attention(qkv_BS3HK, bias_B11S, self.dropout.key, threshold_of(dropout))
        q_BHSK, k_BHSK, v_BHSK = qkv_BS3HK.permute(2, 0, 3, 1, 4)
        mask = None if bias_B11S is None else bias_B11S.to(qkv_BS3HK.dtype)
        mixed_BHSK = F.scaled_dot_product_attention(q_BHSK, k_BHSK, v_BHSK, attn_mask=mask, dropout_p=dropout)
        return mixed_BHSK.transpose(1, 2).reshape(num_examples, num_positions, hidden_size)


class BertResidual(nn.Module):
    """A projection whose output is added to the layer's input and normalised (post-norm)."""

    def __init__(self, in_size: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(in_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, inner: Tensor, residual_BSD: Tensor) -> Tensor:
        """Return LayerNorm(dropout(dense(inner)) + residual), (B, S, D)."""
        return self.LayerNorm(self.dropout(self.dense(inner)) + residual_BSD)


class BertAttention(nn.Module):
    """Self-attention with its residual projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertResidual(config.hidden_size, config)

    def forward(self, hidden_BSD: Tensor, bias_B11S: Tensor | None) -> Tensor:
        """Return (B, S, D)."""
        return self.output(self.self(hidden_BSD, bias_B11S), hidden_BSD)


class BertIntermediate(nn.Module):
    """The wide half of the feed-forward part: GELU of a projection, GELU by the error function."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden_BSD: Tensor) -> Tensor:
        """Return (B, S, intermediate_size)."""
        return F.gelu(self.dense(hidden_BSD))


class BertLayer(nn.Module):
    """One Transformer layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertResidual(config.intermediate_size, config)

    def forward(self, hidden_BSD: Tensor, bias_B11S: Tensor | None) -> Tensor:
        """Return (B, S, D)."""
        attended_BSD = self.attention(hidden_BSD, bias_B11S)
        return self.output(self.intermediate(attended_BSD), attended_BSD)


class BertLayers(nn.Module):
    """The stack of layers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, hidden_BSD: Tensor, bias_B11S: Tensor | None) -> Tensor:
        """Return (B, S, D)."""
        for layer in self.layer:
            hidden_BSD = layer(hidden_BSD, bias_B11S)
        return hidden_BSD


class BertPooler(nn.Module):
    """tanh of a projection of the [CLS] vector."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first_ED: Tensor) -> Tensor:
        """Return as many vectors of D."""
        return torch.tanh(self.dense(first_ED))


class BertEncoder(nn.Module):
    """Token ids to one vector for each token and one for the whole example."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertLayers(config)
        self.pooler = BertPooler(config)

    def forward(
        self,
        input_ids_BS: Tensor,
        token_type_ids_BS: Tensor,
        lengths_B: Tensor | None = None,
        position_ids_BS: Tensor | None = None,
        examples_BS: Tensor | None = None,
        first_places_E: Tensor | None = None,
        visible_BSS: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch, one example a row or several.

        Args:
            input_ids_BS: token ids, padded on the right, int64.
            token_type_ids_BS: 0 for segment A, 1 for segment B, int64.
            lengths_B: tokens of each example without padding, at least 1; None where nothing is padded.
            position_ids_BS: None for 0 .. S - 1.
            examples_BS: where rows hold several examples, which one a token belongs to, int64, -1 at padding; a token
                attends to those of its own example alone.
            visible_BSS: where rows hold a sentence tree, which token sees which, bool; it says what is padding too.
            first_places_E: with `examples_BS`, the place (row * S + column) of each example's [CLS], int64.

        Returns:
            hidden states (B, S, D) and pooled [CLS] vectors, one for each example (B, D); vectors at padding mean
            nothing.
        """
        num_positions = input_ids_BS.shape[1]
        bias_B11S = None
        if examples_BS is not None or visible_BSS is not None:
            if visible_BSS is not None:
                is_other_BSS = ~visible_BSS
            else:
                assert examples_BS is not None
                is_other_BSS = examples_BS[:, :, None] != examples_BS[:, None, :]
            bias_B11S = torch.zeros(is_other_BSS.shape, device=is_other_BSS.device).masked_fill(is_other_BSS, -1e30)
            bias_B11S = bias_B11S[:, None]
        elif lengths_B is not None and int(lengths_B.min()) < num_positions:
            is_padding_BS = torch.arange(num_positions, device=lengths_B.device) >= lengths_B[:, None]
            bias_B11S = torch.zeros(is_padding_BS.shape, device=lengths_B.device)
            bias_B11S = bias_B11S.masked_fill(is_padding_BS, -1e30)[:, None, None, :]
        hidden_BSD = self.embeddings(input_ids_BS, token_type_ids_BS, position_ids_BS)
        hidden_BSD = self.encoder(hidden_BSD, bias_B11S)
        first_ED = hidden_BSD[:, 0] if first_places_E is None else hidden_BSD.flatten(0, 1)[first_places_E]
        return hidden_BSD, self.pooler(first_ED)


def initialise(module: nn.Module, seed: int, standard_deviation: float = 0.02) -> None:
    """Draw all weights of `module` from normal(0, standard_deviation); biases 0, layer norms 1 and 0.

    Each parameter has a key of its own, (seed, "init", its name), so that adding one changes no other.

    Source: Devlin et al. 2019, released code (normal instead of their truncated normal, as in transformers).
    """
    norms = {name for name, part in module.named_modules() if isinstance(part, nn.LayerNorm)}
    paddings = {
        f"{name}.weight": part.padding_idx
        for name, part in module.named_modules()
        if isinstance(part, nn.Embedding) and part.padding_idx is not None
    }
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.rpartition(".")[0] in norms:
                parameter.fill_(1.0)
            else:
                generator = torch.Generator().manual_seed(seed_of(seed, "init", name))
                parameter.normal_(0.0, standard_deviation, generator=generator)
            if name in paddings:
                parameter[paddings[name]].zero_()
