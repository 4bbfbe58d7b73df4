#!/bin/sh
# Guess: the module of an exported program is a module: eval() leaves it in evaluation mode, where it is, also inside another module.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 numpy==2.4.6
look <<'PY'
import torch

layers = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.ReLU()).eval()
image = torch.rand(1, 3, 8, 8)
module = torch.export.export(layers, (image,)).module()


def told(whole):
    try:
        whole.eval()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "done"


alone, inside = told(module), told(torch.nn.Sequential(module))
same = bool(torch.equal(module(image), layers(image)))
print(f"torch {torch.__version__}")
print("most would guess: eval() of a module that was exported in evaluation mode is done, alone and as a part of another module")
print(f"seen: alone {alone!r}, inside a Sequential {inside!r}; isinstance nn.Module: {isinstance(module, torch.nn.Module)}, same output: {same}")
raise SystemExit(not (alone != "done" and inside != "done" and same))
PY
