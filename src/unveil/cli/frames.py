"""`--frames`: what a sampler believes after every evaluation, as numbered pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unveil.diffusion.sampling import Progress


class Frames:
    """A context around one restoration like the one inside, whose callback also writes FOLDER/NAME_0001.png, NAME_0002.png, ...

    value_range: of the sampler's images, which is the network's.
    """

    def __init__(self, folder: Path, name: str, inside: Any, value_range: tuple[float, float] = (-1.0, 1.0)) -> None:
        self.folder, self.name, self.inside, self.count = folder, name, inside, 0
        self.low, self.high = value_range

    def __enter__(self) -> Callable[[Progress], Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        tell = self.inside.__enter__()

        def both(step: Progress) -> Any:
            self._write(step)
            return tell(step)

        both.within = getattr(tell, "within", None)  # type: ignore[attr-defined]
        return both

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inside.__exit__(kind, error, trace)

    def _write(self, step: Progress) -> None:
        from unveil.photo import write
        from unveil.photo.arrays import plain

        self.count += 1
        unit = (step.x0_hat[0].detach().float().cpu() - self.low) / (self.high - self.low)
        image = unit.clamp(0, 1).permute(1, 2, 0).numpy()
        write(plain(image), image, self.folder / f"{self.name}_{self.count:04d}.png")
