"""AlexNet's, VGG-16's and Inception's layers: what learned metrics compare photographs by. Built of `torch.nn` alone.

The names of the layers are those of the published files: torchvision's for AlexNet and VGG-16 (features.0.weight, ...), that of the
TensorFlow network of 2015 for Inception-v3 (pt_inception-2015-12-05-6726825d.pth), as the Frechet inception distance has it. Inception-v3
as it is trained in PyTorch pools otherwise: here averages do not count the border, and the last block takes a maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ALEXNET = (64, 192, 384, 256, 256)
"""Channels after AlexNet's five convolutions."""
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels after VGG-16's convolutions, stage by stage; each stage but the first begins with a pooling."""


class Taps(nn.Module):
    """Layers in sequence; the output is the features after some of them."""

    def __init__(self, layers: Iterable[nn.Module], taps: Iterable[int]) -> None:
        """layers: what is applied in turn. taps: indices of those whose output is wanted, ascending; what follows the last is not
        evaluated.
        """
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.taps = tuple(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised as the weights want it, to one (B, C, h, w) for each tap."""
        found = []
        for at, layer in enumerate(self.features):
            x = layer(x)
            if at in self.taps:
                found.append(x)
        return found

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Load the convolutions from a published file, named as torchvision does; its other tensors are left alone.

        Raises KeyError for a tensor that is missing, RuntimeError for one of another shape.
        """
        self.load_state_dict({name: weights[name] for name in self.state_dict()}, strict=False)


def alexnet() -> Taps:
    """AlexNet (Krizhevsky 2014, "one weird trick") up to its fifth convolution, tapped after each of the five."""
    first, second, *rest = ALEXNET
    layers: list[nn.Module] = [nn.Conv2d(3, first, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    layers += [nn.Conv2d(first, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for before, after in pairwise((second, *rest)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return Taps(layers, (1, 4, 7, 9, 11))


def vgg16(
    stages: Iterable[Sequence[int]] = VGG16, pool: Callable[[int], nn.Module] = lambda channels: nn.MaxPool2d(2)
) -> Taps:
    """VGG-16 (Simonyan and Zisserman 2015) up to its last convolution, tapped at the end of each stage. pool: what stands between two, by
    channels.
    """
    layers: list[nn.Module] = []
    taps, inputs = [], 3
    for stage in stages:
        if layers:
            layers.append(pool(inputs))
        for channels in stage:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        taps.append(len(layers) - 1)
    return Taps(layers, taps)


Size = int | tuple[int, int]
_WIDE, _HIGH = (1, 7), (7, 1)


class Convolution(nn.Module):
    """A convolution without bias, its normalisation, and what is positive of that."""

    def __init__(self, inputs: int, outputs: int, size: Size = 1, stride: int = 1, *, pad: bool = True) -> None:
        """size: side of the window, or (rows, columns). pad: whether the border is padded so that a stride of 1 keeps the size."""
        super().__init__()
        rows, columns = (size, size) if isinstance(size, int) else size
        margin = (rows // 2, columns // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (rows, columns), stride, margin, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, h, w)."""
        return F.relu(self.bn(self.conv(x)))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _largest(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2)


_Paths = list[dict[str, tuple[int, Size]]]


class _Block(nn.Module):
    """Paths side by side, their outputs joined; the last path is a pooling, and where that halves the size the other paths' last layers do.

    paths: of each path its layers in turn, name -> outputs and size. A layer whose name ends in b stands beside the one before it.
    pooled: outputs of a layer behind the pooling, 0 for none.
    """

    def __init__(self, inputs: int, paths: _Paths, pool: Callable[[Tensor], Tensor], pooled: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.paths: list[list[list[str]]] = []
        for path in paths:
            steps: list[list[str]] = []
            taken = given = inputs
            for name, (outputs, size) in path.items():
                if name.endswith("b"):
                    steps[-1].append(name)
                else:
                    steps.append([name])
                    taken = given
                stride = 2 if pool is _halved and name == list(path)[-1] else 1
                self.add_module(name, Convolution(taken, outputs, size, stride, pad=stride == 1))
                given = outputs
            self.paths.append(steps)
        if pooled:
            self.add_module("branch_pool", Convolution(inputs, pooled))

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for path in self.paths:
            y = x
            for names in path:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            found.append(y)
        last = self.pool(x)
        if "branch_pool" in self._modules:
            last = self.get_submodule("branch_pool")(last)
        return torch.cat([*found, last], 1)


def _fine(inputs: int, pooled: int) -> _Block:
    """35x35 (Mixed_5b to 5d)."""
    paths: _Paths = [
        {"branch1x1": (64, 1)},
        {"branch5x5_1": (48, 1), "branch5x5_2": (64, 5)},
        {"branch3x3dbl_1": (64, 1), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)},
    ]
    return _Block(inputs, paths, _average, pooled)


def _to_middle() -> _Block:
    """35x35 to 17x17 (Mixed_6a)."""
    paths: _Paths = [
        {"branch3x3": (384, 3)},
        {"branch3x3dbl_1": (64, 1), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)},
    ]
    return _Block(288, paths, _halved)


def _middle(width: int) -> _Block:
    """17x17 (Mixed_6b to 6e)."""
    paths: _Paths = [
        {"branch1x1": (192, 1)},
        {"branch7x7_1": (width, 1), "branch7x7_2": (width, _WIDE), "branch7x7_3": (192, _HIGH)},
        {
            "branch7x7dbl_1": (width, 1), "branch7x7dbl_2": (width, _HIGH), "branch7x7dbl_3": (width, _WIDE),
            "branch7x7dbl_4": (width, _HIGH), "branch7x7dbl_5": (192, _WIDE),
        },
    ]  # fmt: skip
    return _Block(768, paths, _average, 192)


def _to_coarse() -> _Block:
    """17x17 to 8x8 (Mixed_7a)."""
    paths: _Paths = [
        {"branch3x3_1": (192, 1), "branch3x3_2": (320, 3)},
        {"branch7x7x3_1": (192, 1), "branch7x7x3_2": (192, _WIDE), "branch7x7x3_3": (192, _HIGH), "branch7x7x3_4": (192, 3)},
    ]  # fmt: skip
    return _Block(768, paths, _halved)


def _coarse(inputs: int, pool: Callable[[Tensor], Tensor]) -> _Block:
    """8x8 (Mixed_7b and 7c)."""
    paths: _Paths = [
        {"branch1x1": (320, 1)},
        {"branch3x3_1": (384, 1), "branch3x3_2a": (384, (1, 3)), "branch3x3_2b": (384, (3, 1))},
        {
            "branch3x3dbl_1": (448, 1), "branch3x3dbl_2": (384, 3), "branch3x3dbl_3a": (384, (1, 3)), "branch3x3dbl_3b": (384, (3, 1)),
        },
    ]  # fmt: skip
    return _Block(inputs, paths, pool, 192)


class Inception(nn.Module):
    """The trunk up to its average."""

    def __init__(self) -> None:
        """Lay out the seventeen parts under their published names."""
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, pad=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _fine(192, 32), _fine(256, 64), _fine(288, 64)
        self.Mixed_6a = _to_middle()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_middle(w) for w in (128, 160, 160, 192))
        self.Mixed_7a = _to_coarse()
        self.Mixed_7b, self.Mixed_7c = _coarse(1280, _average), _coarse(2048, _largest)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 299, 299) in [-1, 1] to (B, 2048)."""
        x = _halved(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = _halved(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
