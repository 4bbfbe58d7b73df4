"""What FID needs of a row of the benchmark: the features of every result and target, kept beside the result for the next call."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from unveil.evaluation.evaluate import prepare
from unveil.evaluation.metrics.learned import features
from unveil.evaluation.protocols import Protocol
from unveil.util import atomic


class Looks:
    """The features of one row, by photograph: in memory, and in the folder RESULT.features where there is a file of results.

    They belong to the row's own settings: another protocol, method or run has other names.
    """

    def __init__(self, output: Path | None, of: str, title: str, row: dict[str, Any]) -> None:
        """Find what was kept.

        Args:
            output: The file of results, None for memory alone.
            of: The test set.
            title: The row.
            row: Its protocol and its run.

        """
        told = json.dumps([of, title, row["protocol"], row["run"]], sort_keys=True, default=str)
        key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.folder = None if output is None else output.with_name(f"{output.name}.features") / key
        self.held: dict[str, np.ndarray] = {}

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"

    def add(self, name: str, pixels: np.ndarray, target: np.ndarray, protocol: Protocol) -> None:
        """Look at a result and its target, at the size and with the border that the protocol scores.

        Args:
            name: The photograph.
            pixels: (H, W, 3) in [0, 1], the result.
            target: (H, W, 3) in [0, 1].
            protocol: What decides size, rounding and border.

        """
        ready = prepare(pixels.clip(0, 1), target, protocol)
        look = features()
        self.held[name] = np.stack([look(ready.prediction), look(ready.target)]).astype(np.float32)
        if (path := self._path(name)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            np.save(content, self.held[name])
            atomic.replace(path, content.getvalue())

    def has(self, name: str) -> bool:
        """Whether a photograph was looked at, now or in a call before.

        Args:
            name: The photograph.

        """
        path = self._path(name)
        if name not in self.held and path is not None and path.is_file():
            self.held[name] = np.load(path)
        return name in self.held

    def distance(self, names: list[str]) -> float | None:
        """FID of the photographs; None for fewer than two.

        Args:
            names: Which; all were looked at.

        """
        from unveil.evaluation.metrics.deep import frechet

        if len(names) < 2:
            return None
        pairs = np.stack([self.held[name] for name in names]).astype(np.float64)
        return frechet(pairs[:, 0], pairs[:, 1])
