"""`make demo`: damage a photograph whose clean original is known, restore it, and say what came of it."""

from __future__ import annotations

import argparse
import time
from importlib.resources import files
from pathlib import Path

EXAMPLE, KIND, SEVERITY, SEED = "astronaut.jpg", "noise", 0.72, 4
"""A freely licensed photograph (see examples/README.md) and the damage done to it: what the shipped model is best at."""


def main(folder: Path = Path("demo")) -> None:
    """Write damaged.png, restored.png and before_after.png into `folder` and print PSNR before and after, and the seconds."""
    started = time.perf_counter()
    import numpy as np
    import torch

    from unveil import degradation, figures, photo
    from unveil.photo.record import from_array
    from unveil.restorer import load
    from unveil.util.tensors import batch_of, pixels_of

    def psnr(pixels: np.ndarray) -> float:
        eight_bit = np.rint(pixels.astype(np.float64) * 255) / 255
        return float(-10 * np.log10(((eight_bit - clean) ** 2).mean()))

    folder.mkdir(parents=True, exist_ok=True)
    clean = photo.read(Path(str(files("unveil") / "examples" / EXAMPLE))).pixels
    batch = batch_of(clean)
    damaged_batch, _ = degradation.apply(KIND, batch, torch.Generator().manual_seed(SEED), SEVERITY)
    damaged = pixels_of(degradation.quantise(damaged_batch))
    result = load("general").restore(damaged, samples=1, seed=0)
    for name, pixels in (("damaged", damaged), ("restored", result.image)):
        photo.write(from_array(pixels), pixels, folder / f"{name}.png")
    titles = [f"damaged, {psnr(damaged):.2f} dB", f"restored, {psnr(result.image):.2f} dB", "original"]
    figures.side_by_side([damaged, result.image, clean], titles).save(folder / "before_after.png")
    height, width = clean.shape[:2]
    print(
        f"Restored a {width}x{height} photograph ({KIND}) with {result.protocol['model']}, {result.protocol['steps']} steps, one draw."
    )
    print(f"PSNR before {psnr(damaged):.2f} dB, after {psnr(result.image):.2f} dB (RGB, 8 bit, against the original).")
    print(f"{result.seconds:.1f} s for the restoration, {time.perf_counter() - started:.1f} s in all.")
    print(f"Look at {folder / 'before_after.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), help="folder to write to")
    main(parser.parse_args().output)
