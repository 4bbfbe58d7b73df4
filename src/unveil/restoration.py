"""The result of a restoration: the draws of one photograph, their statistics, and the protocol that reproduces them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unveil import photo
from unveil.errors import InputError
from unveil.models.calibration import DECIDES, Calibration


@dataclass(frozen=True)
class Restoration:
    """image: (H, W, 3) float32 in [0, 1], the mean of the draws (the draw itself when there is one).

    samples: (K, H, W, 3), none of them (0, H, W, 3) where keeping all would not fit into memory. mean: (H, W, 3). std: (H, W, 3)
    per-pixel standard deviation of the draws, in units of the full range, None for a single draw. seconds: wall time, of which
    network_seconds inside the network. seed and protocol: what reproduces the same pixels. source: the photograph, whose
    format and metadata `save` keeps. notes: what was corrected on the way (smaller tiles, fp32), one sentence each. doubt: the model's own
    estimate of its error, with `Options.uncertainty`. calibration: how far that estimate, or the spread of the draws, was measured to agree
    with true errors; None where it was not measured for these settings.
    """

    samples: np.ndarray
    seconds: float
    network_seconds: float
    seed: int
    protocol: dict[str, Any]
    source: photo.Photo | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    moments: RunningMoments | None = field(default=None, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    doubt: Doubt | None = field(default=None, repr=False)

    @property
    def mean(self) -> np.ndarray:
        """(H, W, 3), mean over the draws."""
        if self.moments is not None:
            return self.moments.mean
        if len(self.samples) == 1:
            return self.samples[0]
        out = np.empty(self.samples.shape[1:], np.float32)
        for row, of in enumerate(out):
            of[...] = self.samples[:, row].mean(axis=0, dtype=np.float64)
        return out

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]."""
        return self.mean

    @property
    def std(self) -> np.ndarray | None:
        """(H, W, 3), standard deviation over the draws (unbiased), None for a single draw."""
        if self.moments is not None:
            return self.moments.std
        if len(self.samples) < 2:
            return None
        out = np.empty(self.samples.shape[1:], np.float32)
        for row, of in enumerate(out):  # row by row: the sums in double would take twice the draws' memory
            of[...] = self.samples[:, row].std(axis=0, ddof=1, dtype=np.float64)
        return out

    @property
    def uncertainty(self) -> np.ndarray | None:
        """(H, W, 3) standard deviation of the error from place to place, in units of the full range, calibrated where it was measured.

        The model's own estimate with `Options.uncertainty`, else the spread of the draws; None where there is neither. An error in the
        overall brightness and colour is not included (`light_uncertainty`).
        """
        std = self.std if self.doubt is None else self.doubt.local
        return std if std is None or self.calibration is None else self.calibration.std(std, self._kinds)

    @property
    def light_uncertainty(self) -> float | None:
        """Standard deviation of the error in overall brightness and colour, in units of the full range; None where it was not estimated."""
        if self.doubt is None:
            return None
        return self.doubt.light * (1.0 if self.calibration is None else self.calibration.light)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return tuple(k for k, p in self.protocol.get("told", {}).items() if p > 0)

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), each (H, W, 3) in [0, 1]: the image -+ the conformal width times its standard deviation, light included.

        For a photograph exchangeable with the calibration photographs the expected share of pixel values inside is at least `level`
        (`evaluation.calibration.pixel_factor`); nothing is promised for one chosen pixel, or for photographs unlike them. Raises
        InputError for a level, a number of draws or settings that were not calibrated, saying what to ask for.
        """
        known = self.calibration
        if known is None and self.doubt is not None:
            own = ", ".join(f"{name} {self.protocol[name]}" for name in DECIDES[1:] if name in self.protocol)
            raise InputError(
                f"no interval was calibrated for these settings ({own}); leave those that are not the model's defaults out"
            )
        if known is None:
            raise InputError(
                "no interval was calibrated for this model under these settings; restore with uncertainty=True, or with fidelity=0 and "
                "samples=8, or calibrate it"
            )
        if self.doubt is None and (self.std is None or self.protocol["samples"] != known.draws):
            raise InputError(
                f"intervals hold for {known.draws} draws, got {self.protocol['samples']}; restore with samples={known.draws}"
            )
        std, local, light = self.std, self.uncertainty, self.light_uncertainty
        if self.doubt is not None and local is not None and light is not None:
            std = np.hypot(local, light)
        assert std is not None
        width = known.half_width(std, level).astype(np.float32)
        return np.clip(self.mean - width, 0, 1), np.clip(self.mean + width, 0, 1)

    def save(self, path: str | Path | BinaryIO, strip: bool = False, format: str | None = None) -> tuple[str, ...]:
        """Write the image, in the source photograph's colour space, depth and metadata.

        A lossy file to which nothing was done is handed on byte for byte.

        Args:
            path: The file, or a binary stream.
            strip: Leave EXIF (with its GPS position), XMP and comments out.
            format: As `unveil.photo.write` takes it; by default by the suffix of `path`, of a stream the photograph's own.

        Returns:
            Notes on what the format could not hold.

        Raises:
            InputError: What `unveil.photo.write` refuses.

        """
        from unveil.photo.record import from_array
        from unveil.photo.writing import write_back

        return write_back(self.source or from_array(self.image), self.image, path, format, strip)


@dataclass(frozen=True)
class Doubt:
    """A model's estimate of its own error, in units of the full range. local: (H, W, 3) standard deviation from place to
    place. light: that of the overall brightness and colour.
    """

    local: np.ndarray
    light: float


@dataclass
class RunningMoments:
    """Mean and standard deviation of draws that arrive one by one and are not kept (Welford 1962). mean, squares: (H, W, 3) float32."""

    mean: np.ndarray
    squares: np.ndarray
    count: int = 1

    @classmethod
    def of(cls, draw: np.ndarray) -> RunningMoments:
        """The moments of a first draw (H, W, 3)."""
        return cls(draw.copy(), np.zeros_like(draw))

    def add(self, draw: np.ndarray) -> None:
        """Take one more draw (H, W, 3) into account, row by row, so that nothing of the photograph's size is allocated."""
        self.count += 1
        for mean, squares, row in zip(self.mean, self.squares, draw, strict=True):
            before = row - mean
            mean += before / self.count
            squares += before * (row - mean)

    @property
    def std(self) -> np.ndarray:
        """(H, W, 3), unbiased."""
        return np.sqrt(self.squares / max(self.count - 1, 1))
