#!/bin/sh
# Guess: what safetensors.numpy saves it loads again, or it refuses what it cannot save, as it does for torch.
. "$(dirname "$0")/_room.sh"
room safetensors==0.8.0 numpy==2.4.6
look <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load, save

image = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
print(f"safetensors {safetensors.__version__}, NumPy {np.__version__}: arrays that are views, saved and loaded")
print("most would guess: equal, or an error")
views = {
    "as it is": image,
    "(H, W, C) to (C, H, W)": image.transpose(2, 0, 1),
    "mirrored": image[:, ::-1],
    "every second pixel": image[::2, ::2],
    "Fortran's order": np.asfortranarray(image),
    "transposed, then ascontiguousarray": np.ascontiguousarray(image.transpose(2, 0, 1)),
}
seen = {}
for name, view in views.items():
    back = load(save({"x": view}))["x"]
    seen[name] = bool(back.shape == view.shape and (back == view).all())
    print(f"seen: {name}: shape kept {back.shape == view.shape}, values kept {seen[name]}")
print("The bytes lie in the file in the order of memory, under the shape of the view")
whole = ("as it is", "transposed, then ascontiguousarray")
raise SystemExit(seen != {name: name in whole for name in views})
PY
