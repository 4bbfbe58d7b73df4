"""The wild pipeline: a plan carried out on a batch of pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.degradation.colour import quantise
from unveil.degradation.draws import check
from unveil.degradation.jpeg import recompress
from unveil.degradation.wild.blur import blur, blur_kernels, through_display
from unveil.degradation.wild.canvas import gathered, scattered, similar
from unveil.degradation.wild.noise import add_gaussian, add_poisson, poisson, poisson_rate
from unveil.degradation.wild.plan import plan
from unveil.degradation.wild.resize import INTERPOLATIONS, resize
from unveil.degradation.wild.settings import COLUMN, OPERATIONS
from unveil.degradation.wild.words import words

TOGETHER = {"cpu": 1, "cuda": 32, "mps": 16}
"""How many pictures one operation takes at once: a processor's cache is best used by one, an accelerator by many."""


def wild(x: Tensor, generator: torch.Generator, severity: float | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Damage as photographs in the wild bear it: blur, resizing, noise and compression, in three shuffled phases.

    x: (B, 3, H, W) float32 in [0, 1], sRGB. The pipeline of DA-CLIP's successor for images in the wild (Luo et al., CVPR
    2024 workshops; probabilities and ranges in `settings`). None draws every strength on its own, as published; a
    severity pins them all at that position of their ranges, mildest 0, strongest 1, and leaves to chance what happens.
    Pixel noise is drawn on the device of x. Returns y in 8-bit levels and `severity` (B, 1, 1, 1), the mean position
    drawn; `steps` (B, 9, COLUMNS) float64, what was done in order (see `words.events`); `words` (B, 4), how often each
    of `words.WORDS` was done. Raises InputError for a wrong shape, type or severity.
    """
    check(x, severity)
    steps = plan(len(x), generator, severity)
    done = steps[:, :, COLUMN["operation"]] >= 0
    strength = (steps[:, :, COLUMN["strength"]] * done).sum(1) / done.sum(1).clamp_min(1)
    strength = strength if severity is None else torch.full_like(strength, float(severity))
    drawn = {"severity": strength.float().view(-1, 1, 1, 1), "steps": steps, "words": words(steps)}
    return carry_out(x, steps), drawn


def carry_out(x: Tensor, steps: Tensor, together: int | None = None) -> Tensor:
    """x (B, 3, H, W) in [0, 1] damaged as the plan `steps` (B, n, COLUMNS) says: a function of the two alone.

    together: most pictures in one tensor (default: by device). On the CPU the default makes each picture's bits
    independent of the others in the batch; larger numbers change rounding only.
    """
    limit = together or TOGETHER.get(x.device.type, 1)
    pictures = list(x)
    home = (int(x.shape[-2]), int(x.shape[-1]))
    for slot in range(steps.shape[1]):
        rows = steps[:, slot]
        for code, operation in enumerate(OPERATIONS):
            chosen = (rows[:, COLUMN["operation"]] == code).nonzero().flatten().tolist()
            if chosen:
                changed = operate(operation, [pictures[i] for i in chosen], rows[chosen], home, limit)
                for i, picture in zip(chosen, changed, strict=True):
                    pictures[i] = picture
    return torch.stack([quantise(p) for p in pictures])


def operate(operation: str, pictures: list[Tensor], rows: Tensor, home: tuple[int, int], limit: int) -> list[Tensor]:
    """The pictures (3, h, w) after one operation, each as its row says."""
    if operation == "noise":
        return [_noisy(p, row) for p, row in zip(pictures, rows, strict=True)]
    if operation == "jpeg":
        return [recompress(p, int(q)) for p, q in zip(pictures, rows[:, COLUMN["quality"]], strict=True)]
    kernels = blur_kernels(rows) if operation == "blur" else rows
    out = list(pictures)
    for group in similar([p.shape[-2] * p.shape[-1] for p in pictures], limit):
        x, sizes = gathered([pictures[i] for i in group])
        mine = rows[group]
        if operation == "blur":
            x = blur(x, sizes, mine, kernels[group])
        elif operation == "under_display":
            x = through_display(x, sizes, mine)
        else:
            targets = torch.tensor([_target(size, row, home) for size, row in zip(sizes.tolist(), mine, strict=True)])
            ways = [INTERPOLATIONS[int(k)] for k in mine[:, COLUMN["interpolation"]]]
            x, sizes = resize(x, sizes, targets, ways), targets
        for i, picture in zip(group, scattered(x, sizes), strict=True):
            out[i] = picture
    return out


def _target(size: list[int], row: Tensor, home: tuple[int, int]) -> tuple[int, int]:
    scale = float(row[COLUMN["scale"]])
    return (max(1, int(size[0] / scale)), max(1, int(size[1] / scale))) if scale > 0 else home


def _noisy(picture: Tensor, row: Tensor) -> Tensor:
    """Gaussian noise, Poisson noise, both or neither, then 8 bits."""
    place = picture.device if picture.device.type == "cuda" else torch.device("cpu")
    generator = torch.Generator(place).manual_seed(int(row[COLUMN["seed"]]))
    sigma, scale = float(row[COLUMN["gaussian"]]), float(row[COLUMN["poisson"]])
    if sigma > 0:
        channels = 1 if row[COLUMN["gaussian_grey"]] > 0 else picture.shape[0]
        noise = torch.randn(channels, *picture.shape[1:], generator=generator, device=place).to(picture.device)
        picture = add_gaussian(picture, noise, sigma)
    if scale > 0:
        levels, photons = poisson_rate(picture, bool(row[COLUMN["poisson_grey"]] > 0))
        picture = add_poisson(picture, poisson(levels * photons, generator), levels, photons, scale)
    return quantise(picture)
