"""Two compact U-Nets that share the noise levels between them, as ensembles of expert denoisers do (Balaji et al. 2022).

The first steps of sampling see a reduced photograph and decide its light; the last ones see it at its own size and decide
its detail. One network for both spends half of its weights on the other's work; here each step evaluates the one it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from unveil.networks.answer import Answer, Features
from unveil.networks.compact import CompactUNet

BORDER = 0.6
"""Noise level s_t from which `low` answers; with the shipped schedule these are the steps of the reduced photograph."""


class TimestepExperts(nn.Module):
    """low: for noise levels of at least BORDER, native: for those below. Both predict y - x0 and are told the same.

    Args:
        low: Sizes of a `CompactUNet`, by the names of its constructor.
        native: Likewise.

    """

    channels = 3

    def __init__(self, low: Mapping[str, Any], native: Mapping[str, Any]) -> None:
        super().__init__()
        self.low = CompactUNet(**{"conditioned": True, **low})
        self.native = CompactUNet(**{"conditioned": True, **native})
        self.multiple_of = max(self.low.multiple_of, self.native.multiple_of)

    def expert(self, level: float) -> CompactUNet:
        """The network that answers at a noise level."""
        return self.low if level >= BORDER else self.native

    def features(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Features:
        """As `CompactUNet.features`; all levels of a batch lie on one side of BORDER."""
        return self.expert(float(level[0])).features(x_t, y, level, condition)

    def answer(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Answer:
        """See `networks.answer.Predictor`; all levels of a batch lie on one side of BORDER."""
        return Answer(x_t, y, level, self(x_t, y, level, condition))

    def forward(self, x_t: Tensor, y: Tensor, level: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.expert(float(level[0]))(x_t, y, level, condition)
