"""Judges score an estimate without a reference; dynamic quality refinement (DQR) decides by them when to stop and which estimate is kept.

ARNIQA (Agnolucci et al., WACV 2024) is one, from its authors' weights: a ResNet-50 at two scales and a linear regressor.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from unveil.errors import ModelError
from unveil.util.tensors import at_least
from unveil.util.words import check_known

Judge = Callable[[Tensor], float]
"""(image (1, 3, H, W) in [0, 1]) -> a score, higher is better, about 0 to 1; NaN where it has no opinion."""


def from_distance(distance: Callable[[Any], float], typical: float = 3.0, smallest: int = 96) -> Judge:
    """A judge from a measure of which less is better, such as a naturalness: typical / (typical + distance).

    distance: of an image (H, W, 3) in [0, 1] as a numpy array, 0 upwards. typical: its value for a clean photograph, which scores
    1/2; around it a step of 0.01 in the score is one of 4 % in the distance. smallest: sides in pixels below which the image is
    continued by reflection, for a measure that takes patches of that size.
    """

    def judge(image: Tensor) -> float:
        image = at_least(image, smallest, smallest)
        return typical / (typical + distance(image[0].permute(1, 2, 0).float().cpu().numpy()))

    return judge


class Regressor(NamedTuple):
    """Ends of a data set's scale of opinions, and whether its scores count damage (DMOS) and so are turned round."""

    low: float
    high: float
    damage: bool


REGRESSORS = {
    "live": Regressor(1, 100, True),
    "csiq": Regressor(0, 1, True),
    "tid2013": Regressor(0, 9, False),
    "kadid10k": Regressor(1, 5, False),
    "flive": Regressor(1, 100, False),
    "spaq": Regressor(1, 100, False),
    "clive": Regressor(1, 100, False),
    "koniq10k": Regressor(1, 100, False),
}

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CONVERT = (
    'python -c "import torch, safetensors.torch as s; s.save_file('
    "{{k: v.reshape(1, -1) for k, v in torch.jit.load('{0}').state_dict().items()}}, '{1}')\""
)


_DAMAGE = (
    SafetensorError, pickle.UnpicklingError, OSError, EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError
)  # fmt: skip
"""What reading a damaged file raises, by where the damage lies."""


class _Bottleneck(nn.Module):
    """1x1, 3x3 (which strides), 1x1 convolutions beside the input, with the published files' names."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def encoder(blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> nn.Sequential:
    """The trunk of ResNet-50 up to its average: (B, 3, H, W) normalised to (B, 2048, 1, 1). Fewer blocks and less width: for tests."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = width
    for stage, count in enumerate(blocks):
        stack = []
        for block in range(count):
            stack.append(_Bottleneck(inputs, width << stage, 2 if block == 0 and stage else 1))
            inputs = 4 * (width << stage)
        layers.append(nn.Sequential(*stack))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))


def arniqa(folder: Path, regressor: str = "koniq10k", trunk: nn.Sequential | None = None) -> Judge:
    """The judge in a folder with ARNIQA.pth (or .safetensors) and regressor_NAME.safetensors.

    regressor: the data set whose opinions it learned, a name in `REGRESSORS`. Scores are comparable within one regressor only: the
    paper's threshold means nothing without its name, which it does not give; "koniq10k" is of photographs with damage as it occurs.
    The whole image is looked at, at full and half scale (bilinear with antialiasing). trunk: another than ResNet-50, for tests.
    Raises InputError for an unknown regressor, ModelError where a file is missing or is something else.
    """
    check_known("ARNIQA regressor", regressor, REGRESSORS)
    network = encoder() if trunk is None else trunk
    path = next((p for p in (folder / "ARNIQA.safetensors", folder / "ARNIQA.pth") if p.is_file()), None)
    if path is None:
        raise ModelError(f"{folder}: holds neither ARNIQA.safetensors nor ARNIQA.pth; see ARNIQA's releases")
    weights = {k.removeprefix("model."): v for k, v in _read(path).items() if not k.startswith("projector")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: not the encoder of ARNIQA ({str(error).splitlines()[-1].strip()})") from error
    network.eval().requires_grad_(False)
    weight, bias = _regressor(folder, regressor)
    low, high, damage = REGRESSORS[regressor]

    @torch.no_grad()
    def judge(image: Tensor) -> float:
        here = network.to(image.device)
        mean, std = (image.new_tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        # By size, as the reference does: by a factor, pixels of an odd side would lie elsewhere.
        size = [max(1, side // 2) for side in image.shape[-2:]]
        half = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
        features = torch.cat([F.normalize(here((v - mean) / std).flatten(1)) for v in (image, half)], 1)
        score = (float(features.double().cpu() @ weight.double()) + bias - low) / (high - low)
        return 1 - score if damage else score

    return judge


def _regressor(folder: Path, name: str) -> tuple[Tensor, float]:
    """Weight and bias. The published file is a TorchScript program, which is not run here: it is converted once, by who trusts it."""
    path, published = folder / f"regressor_{name}.safetensors", folder / f"regressor_{name}.pth"
    if not path.is_file():
        todo = (
            f"convert it once: {_CONVERT.format(published, path)}" if published.is_file() else "see ARNIQA's releases"
        )
        raise ModelError(f"{folder}: holds no {path.name}; {todo}")
    tensors = _read(path)
    try:
        return tensors["weights"].flatten(), float(tensors["biases"].flatten())
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{path}: not a regressor of ARNIQA; it needs 'weights' and one number in 'biases'") from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"{path}: damaged, or not a file of weights ({reason})") from error


def marks(grid: Sequence[int], total: int, every: float, below: float) -> set[int]:
    """Indices of a descending grid at which to score: the first at or under each multiple of `every` * total up to `below` * total.

    The clean end is not among them: what arrives there is scored as the descent's result.
    """
    out = set()
    for k in range(1, math.floor(below / every + 1e-9) + 1):
        mark = k * every * total
        out |= {u for t, u in pairwise([math.inf, *grid]) if u <= mark < t and u > 0}
    return out


class Refinement:
    """Scores of one image's estimates, in the order of sampling, and the best of them.

    threshold, rule, patience: see UPZeroIRSettings. A score that is NaN is no opinion: it neither counts as convergence nor as best.
    """

    def __init__(self, judge: Judge, threshold: float, rule: str = "rise", patience: int = 1) -> None:
        self.judge, self.threshold, self.rule, self.patience = judge, threshold, rule, patience
        self.best: Tensor | None = None
        self.best_score = -math.inf
        self._previous = math.nan
        self._quiet = 0

    def begin(self) -> None:
        """A descent begins: its first estimates are rougher than the last descent's result, so they are not compared with it."""
        self._previous, self._quiet = math.nan, 0

    def converged(self, image: Tensor) -> bool:
        """Score an estimate (1, 3, H, W) around [-1, 1] of a descent under way; True where refinement should stop ("Great")."""
        score = self._score(image)
        calm = self._calm(score - self._previous)
        self._previous = score
        self._quiet = self._quiet + 1 if calm else 0
        return self._quiet >= self.patience

    def finished(self, image: Tensor) -> bool:
        """Score a descent's result; True where another is not worth its time, since this one gained too little over the best before."""
        before = self.best_score
        score = self._score(image)
        return self._calm(score - before) if math.isfinite(before) else False

    def _score(self, image: Tensor) -> float:
        score = float(self.judge(((image + 1) / 2).clamp(0, 1)))
        if score > self.best_score:
            self.best, self.best_score = image.clone(), score
        return score

    def _calm(self, gain: float) -> bool:
        return (abs(gain) if self.rule == "change" else gain) < self.threshold
