"""AlexNet's and VGG-16's convolutions by their published tables, with the names of torchvision's files: features.0.weight, ...

What learned metrics look at pictures with. Only layers of `torch.nn` are in them, none of torchvision's compiled operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

ALEXNET = (64, 192, 384, 256, 256)
"""Channels after AlexNet's five convolutions."""
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels after VGG-16's convolutions, stage by stage; each stage but the first begins with a pooling."""


class Taps(nn.Module):
    """Layers in a row that answer with what stands after some of them."""

    def __init__(self, layers: Iterable[nn.Module], taps: Iterable[int]) -> None:
        """Keep the layers and where to listen.

        Args:
            layers: What is applied in turn.
            taps: Indices of layers whose output is wanted, ascending; what follows the last is not evaluated.

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
        """Load the convolutions from a published file, whose other tensors are left alone.

        Args:
            weights: Name -> tensor, as torchvision calls them.

        Raises:
            KeyError: A tensor is missing.
            RuntimeError: A tensor has another shape.

        """
        self.load_state_dict({name: weights[name] for name in self.state_dict()}, strict=False)


def alexnet() -> Taps:
    """AlexNet (Krizhevsky 2014, "one weird trick") up to its fifth convolution, listened to after each of the five."""
    first, second, third, fourth, fifth = ALEXNET
    return Taps(
        [
            nn.Conv2d(3, first, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(),
        ],
        (1, 4, 7, 9, 11),
    )


def vgg16(pool: Callable[[int], nn.Module] = lambda channels: nn.MaxPool2d(2)) -> Taps:
    """VGG-16 (Simonyan and Zisserman 2015) up to its last convolution, listened to at the end of each of the five stages.

    Args:
        pool: Channels -> what stands between two stages.

    """
    layers: list[nn.Module] = []
    taps, inputs = [], 3
    for stage in VGG16:
        if layers:
            layers.append(pool(inputs))
        for channels in stage:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        taps.append(len(layers) - 1)
    return Taps(layers, taps)
