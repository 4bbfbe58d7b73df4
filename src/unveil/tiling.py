"""A denoiser that works tile by tile, by a plan made beforehand, and recomputes tiles that ran out of memory or precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import Tensor

from unveil.diffusion.sampling import Denoiser
from unveil.errors import InputError, ModelError, note
from unveil.networks.predictor import finite, pad_to_multiple
from unveil.photo.tiles import Cost, Plan, Tile
from unveil.util.devices import host_memory

BLEND = 32
"""Pixels over which neighbouring tiles are blended into each other."""
LARGEST = 2048
"""Longest side of a tile that is chosen automatically: larger ones save little time and take memory from other programs."""
FARTHEST = 256
"""The farthest reach that overlaps cover; a network with unlimited reach sees less in tiles than in one piece, whatever the overlap."""
HELD = 132
"""Bytes per pixel of the photograph: eleven float images. Nine live at once inside a step (the photograph, y, state, estimate, noise and
four sums), the others are the estimate before, and the file's own samples. Measured: 118 (`unveil bench memory`)."""
ACCUMULATED = 48
"""Bytes per pixel of a tile beside the network's: its parts of state and y, its estimate, weighted and not."""
SHARE = {"cuda": 0.8}
"""Share of a device's memory that may be used; on CPUs, whose memory is shared with other programs, three quarters: 100 megapixels need 13
GiB."""
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def budget(device: torch.device) -> int:
    """Bytes that a restoration may plan with: a fixed share of all memory, so that the plan is the same on every run."""
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else host_memory()
    return int(total * SHARE.get(device.type, 0.75))


def cost(
    tile: int | str, *, reach: int, multiple_of: int, weights: int, per_pixel: float, held_per_pixel: float = HELD
) -> Cost:
    """What tiles of a model cost. reach: how far it looks, in pixels (its receptive field's radius); weights: their bytes.

    Neighbours overlap by twice the reach plus the blend, so that no pixel that depends on a tile's edge is used, and tiles give the same
    result as the whole photograph. Tiles that are requested smaller than this allows overlap by a quarter of their side instead; their
    result is only nearly the same.
    tile: as in `Options`; "auto:N" counts as chosen automatically, at most N.
    """
    reach = min(reach, FARTHEST)
    overlap, margin = 2 * reach + BLEND, reach
    if isinstance(tile, int) and 0 < tile < 2 * overlap:
        overlap = tile // 4 // multiple_of * multiple_of
        margin = overlap // 4
    return Cost(
        fixed=weights,
        per_pixel=per_pixel + ACCUMULATED,
        held_per_pixel=held_per_pixel,
        multiple_of=multiple_of,
        overlap=overlap,
        margin=margin,
        smallest=max(64, 2 * multiple_of) if isinstance(tile, str) else 2 * multiple_of,
        largest=longest(tile),
    )


def longest(tile: int | str) -> int:
    """The longest side of tiles that are chosen: N of "auto:N", LARGEST otherwise."""
    return int(tile.partition(":")[2] or LARGEST) if isinstance(tile, str) else LARGEST


def spelled(plan: Plan) -> int | str:
    """The `tile` option that gives the tiles of a plan again: their side, or "auto:N" where that side, if requested, would overlap less."""
    return f"auto:{plan.tile}" if 0 < plan.tile < 2 * plan.cost.overlap else plan.tile


class NeedsSmallerTiles(Exception):
    """Memory ran out with one tile at a time. The restoration is to be repeated with smaller tiles, of one size from its first
    step to its last: a protocol names one size, and has to give the same pixels again.
    """


class Tiled:
    """(x_t, y, t) -> x0_hat like the denoiser inside, computed tile by tile and blended; all tiles advance together.

    denoise: what is evaluated, on (B, C, h, w) of any h, w. plan_for: (height, width) -> the plan for a state of that size; where it
    is one tile, the denoiser sees the state itself. Tiles are added up column by column, then row by row, so that no pixel is a sum of
    more than two terms at a time and their order does not change a bit. together: evaluate the plan's batches at once; on processors
    (the default there: one by one) that would change last digits, because their convolutions add in another order. tell: called after every
    tile but the last with the share of the evaluation that is done.

    Memory running out halves the batch, which changes no pixel, and evaluates again; where one tile is too much it raises
    NeedsSmallerTiles. An estimate that is not finite is computed again without autocast. Either is noted (`errors.note`) and kept in
    `notes`. Raises ModelError where fp32 is not finite either. mends: False skips the check for values that are not finite, which would
    wait for the device.
    """

    def __init__(
        self,
        denoise: Denoiser,
        plan_for: Callable[[int, int], Plan],
        *,
        together: bool | None = None,
        tell: Callable[[float], object] | None = None,
        mends: bool = True,
    ) -> None:
        self.denoise, self.plan_for, self.together, self.tell, self.mends = denoise, plan_for, together, tell, mends
        self.plans: dict[tuple[int, int], Plan] = {}
        self.notes: list[str] = []

    def __call__(self, x_t: Tensor, y: Tensor, t: int) -> Tensor:
        size = (int(y.shape[-2]), int(y.shape[-1]))
        while True:
            plan = self.plans.get(size) or self.plan_for(*size)
            self.plans[size] = plan
            try:
                return self._evaluate(plan, x_t, y, t)
            except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not _ran_out(error):
                    raise
            # Outside the handler: the exception's frames hold the tensors that did not leave room.
            if y.is_cuda:
                torch.cuda.empty_cache()
            if plan.batch == 1:
                raise NeedsSmallerTiles
            self.plans[size] = plan.halved()
            self._note(f"memory ran out; going on with {self.plans[size].batch} tiles at a time")

    def _evaluate(self, plan: Plan, x_t: Tensor, y: Tensor, t: int) -> Tensor:
        tiles = plan.tiles()
        if len(tiles) == 1:
            return self._finite(x_t, y, t)
        height, width = y.shape[-2:]
        out, band = torch.zeros_like(y), y.new_empty(*y.shape[:2], tiles[0].height, width)
        done = 0
        for _, row in groupby(tiles, key=lambda tile: tile.top):
            members = list(row)
            rows = members[0].rows
            band.zero_()
            for tile, x0_hat in self._row(members, plan, x_t, y, t):
                end = min(tile.columns.stop, width)
                weight = torch.from_numpy(tile.columns.weights()).to(y.device)[: end - tile.left]
                band[..., tile.left : end] += x0_hat[..., : end - tile.left] * weight
                done += 1
                if self.tell is not None and done < len(tiles):
                    self.tell(done / len(tiles))
            end = min(rows.stop, height)
            weight = torch.from_numpy(rows.weights()).to(y.device)[: end - rows.start, None]
            out[..., rows.start : end, :] += band[..., : end - rows.start, :].mul_(weight)
        return out

    def _row(self, tiles: list[Tile], plan: Plan, x_t: Tensor, y: Tensor, t: int) -> Iterator[tuple[Tile, Tensor]]:
        unit = plan.cost.multiple_of
        batch = plan.batch if self.together or (self.together is None and y.device.type != "cpu") else 1
        for i in range(0, len(tiles), batch):
            part = tiles[i : i + batch]
            x_part, y_part = (
                _joined([pad_to_multiple(image[(..., *tile.window)], unit) for tile in part]) for image in (x_t, y)
            )
            yield from zip(part, self._finite(x_part, y_part, t).split(len(y)), strict=True)

    def _finite(self, x_t: Tensor, y: Tensor, t: int) -> Tensor:
        """The estimate, with the members of the batch that are not finite computed again in full precision."""
        x0_hat = self.denoise(x_t, y, t)
        if not self.mends:
            return x0_hat
        bad = [i for i in range(len(y)) if not finite(x0_hat[i])]
        if not bad:
            return x0_hat
        if torch.is_autocast_enabled(y.device.type):
            self._note("a tile was not finite in low precision; computed again in fp32")
            with torch.autocast(y.device.type, enabled=False):
                again = self.denoise(x_t[bad], y[bad], t)
            x0_hat = x0_hat.to(again.dtype)
            x0_hat[bad] = again
            if finite(again):
                return x0_hat
        raise ModelError(
            "the network's output is not finite, in fp32 neither; its weights are damaged: nothing was written"
        )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
        note(text)


def _joined(images: list[Tensor]) -> Tensor:
    return torch.cat(images) if len(images) > 1 else images[0]  # a single one is not copied


@contextmanager
def memory_named(device: torch.device, height: int, width: int) -> Iterator[None]:
    """Within this context, running out of the device's memory where no smaller tile helps raises an InputError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not _ran_out(error):
            raise
        raise InputError(
            f"the memory of {device} ran out over {width} x {height} pixels; close other programs that use it, give a smaller tile, "
            "reduce the photograph, or take the device cpu"
        ) from error


def _ran_out(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(s in str(error) for s in _NO_MEMORY)
