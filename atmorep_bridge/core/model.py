"""One transformer a field; coupling heads look at other fields in every encoder layer.

Attention heads are divided among sources: in the encoder the field's own tokens, and one more head
for every field it is coupled with; in the decoder half of the heads the field's own tokens, half
the encoder layer that mirrors the decoder's. After Lessig et al. 2023 (arXiv:2308.13280), which
couples fields so; normalisation comes before attention, as is usual now.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from atmorep_bridge.core.losses import quantiles
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.specs import FieldSpec, Setup, Size
from atmorep_bridge.core.tokens import PLACE, TOLD, ByField, positional_code

TAIL_SCALE = 0.1  # of usual initialisation: a model begins near its base, calibrated


class Attention(nn.Module):
    """Multi-head attention whose heads look at several sources.

    Args:
        heads: of each source, of ``head_width`` each.
    """

    def __init__(self, width: int, heads: Sequence[int], head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width, self.dropout = tuple(heads), head_width, dropout
        sizes = [n * head_width for n in heads]
        self.queries = nn.Linear(width, sum(sizes), bias=False)
        self.keys_values = nn.ModuleList(nn.Linear(width, 2 * s, bias=False) for s in sizes)
        # One scale for all heads of a source; keeps logits small in half precision.
        self.query_norm = nn.LayerNorm(head_width, bias=False)
        self.key_norm = nn.LayerNorm(head_width, bias=False)
        self.leave = nn.Linear(sum(sizes), width)

    def forward(self, x: Tensor, sources: Sequence[Tensor]) -> Tensor:
        """``batch, token, width`` of x looking at the sources, each with tokens of its own."""
        b, n, _ = x.shape
        queries = self.queries(x).view(b, n, -1, self.head_width).transpose(1, 2)
        attended, first = [], 0
        for heads, project, source in zip(self.heads, self.keys_values, sources, strict=True):
            kv = project(source).view(b, source.shape[1], 2, heads, self.head_width)
            keys, values = kv.permute(2, 0, 3, 1, 4)
            attended.append(
                scaled_dot_product_attention(
                    self.query_norm(queries[:, first : first + heads]).to(values.dtype),
                    self.key_norm(keys).to(values.dtype),
                    values,
                    dropout_p=self.dropout if self.training else 0.0,
                )
            )
            first += heads
        return self.leave(torch.cat(attended, 1).transpose(1, 2).reshape(b, n, -1))


class Block(nn.Module):
    """Attention to some sources, then a perceptron, each added to what came in."""

    def __init__(self, size: Size, heads: Sequence[int]) -> None:
        super().__init__()
        width, hidden = size.width, size.expansion * size.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, width // size.heads, 0.0)
        self.source_norms = nn.ModuleList(nn.LayerNorm(width) for _ in heads[1:])
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(size.dropout),
            nn.Linear(hidden, width), nn.Dropout(size.dropout),
        )  # fmt: skip

    def forward(self, x: Tensor, others: Sequence[Tensor] = ()) -> Tensor:
        """``batch, token, width``; the first source is x itself."""
        own = self.attention_norm(x)
        normed = [norm(other) for norm, other in zip(self.source_norms, others, strict=True)]
        x = x + self.attention(own, [own, *normed])
        return x + self.perceptron(x)


class FieldTransformer(nn.Module):
    """The part of the model that belongs to one field."""

    def __init__(self, spec: FieldSpec, setup: Setup) -> None:
        super().__init__()
        size = setup.size
        half = size.heads // 2
        self.embed = nn.Linear(2 * spec.values, size.width)
        self.kind = nn.Parameter(torch.randn(len(Kind), size.width) * 0.02)
        self.info = nn.Linear(TOLD, size.width)
        coupling = [1] * len(spec.coupled)
        self.encoder = nn.ModuleList(
            Block(size, [size.heads, *coupling]) for _ in range(size.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            Block(size, [size.heads - half, half]) for _ in range(size.decoder_layers)
        )
        self.tail_norm = nn.LayerNorm(size.width)
        self.tails = nn.Linear(size.width, size.members * spec.values)
        with torch.no_grad():
            self.tails.weight *= TAIL_SCALE
            self.tails.bias.view(size.members, -1)[:] = quantiles(size.members, setup.alpha)[
                :, None
            ]
        self.members = size.members

    def enter(self, tokens: Tensor, pattern: Tensor, kinds: Tensor, info: Tensor) -> Tensor:
        """``batch, token, width`` of filled tokens, their kinds and what they know."""
        values: Tensor = self.embed(torch.cat([tokens, pattern], -1))
        code = positional_code(info[..., PLACE], values.shape[-1])
        return values + self.kind[kinds] + self.info(info[..., :TOLD]) + code

    def leave(self, x: Tensor, chosen: Tensor) -> Tensor:
        """Residuals ``member, chosen token, value``, a linear tail for each member."""
        residual = self.tails(self.tail_norm(x[chosen]))
        values = self.tails.out_features // self.members
        return residual.view(-1, self.members, values).transpose(0, 1)


class MaskedTokenModel(nn.Module):
    """Filled tokens of all fields in, an ensemble of residuals for the chosen tokens out."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        self.parts = nn.ModuleDict({s.name: FieldTransformer(s, setup) for s in setup.fields})

    def part(self, name: str) -> FieldTransformer:
        """The transformer of a field."""
        part = self.parts[name]
        assert isinstance(part, FieldTransformer)
        return part

    def forward(
        self, tokens: ByField, patterns: ByField, kinds: ByField, info: ByField, chosen: ByField
    ) -> ByField:
        """Residuals to what the tokens are filled with.

        Args:
            tokens: of each field ``batch, token, value``, normalised anomalies.
            patterns: the same, how large anomalies usually are there.
            kinds: ``batch, token``, see ``masks.Kind``. info: ``batch, token, INFO``.
            chosen: ``batch, token``, bool: what to predict.

        Returns:
            Of each field ``member, chosen token, value``.
        """
        state = {
            n: self.part(n).enter(tokens[n], patterns[n], kinds[n], info[n])
            for n in self.setup.names
        }
        layers = []
        for layer in range(self.setup.size.encoder_layers):
            state = {
                s.name: self.part(s.name).encoder[layer](
                    state[s.name], [state[other] for other in s.coupled]
                )
                for s in self.setup.fields
            }
            layers.append(state)
        residuals = {}
        for name in self.setup.names:
            x, part = state[name], self.part(name)
            for i, block in enumerate(part.decoder):
                x = block(x, [layers[max(len(layers) - 1 - i, 0)][name]])
            residuals[name] = part.leave(x, chosen[name])
        return residuals
