"""Devices and precisions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from unveil.errors import InputError
from unveil.util.words import first_line

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Choose a device: auto is CUDA, else Apple's GPU, else the CPU. Raises InputError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return opened(name)


def opened(name: str) -> torch.device:
    """The device of a name, tried. Raises InputError where it is not there."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # which "meta", a device of shapes alone, refuses
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device {name!r} cannot be used here ({first_line(error)}); use auto or cpu") from error
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether a device has arithmetic for bf16 (processors: AVX-512-BF16 or AMX)."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda"


def hardware(device: torch.device) -> str:
    """The processor's name as its maker gives it: last digits of a result may depend on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


def pick_dtype(name: str, device: torch.device, supported: Sequence[str]) -> torch.dtype:
    """A precision by its name in DTYPES, among those that the model runs in. Raises InputError for any other.

    "auto" is bf16 where the model allows it and the device computes in it: on CUDA, and on processors with instructions for it, where it
    takes less than half of the time; fp32 elsewhere, for emulated bf16 is slower.
    """
    if name == "auto":
        name = "bf16" if "bf16" in supported and computes_bf16(device) else "fp32"
    if name not in DTYPES or name not in supported:
        raise InputError(f"dtype {name!r} is not one this model runs in; use auto or {', '.join(supported)}")
    return DTYPES[name]


def name_of(dtype: torch.dtype) -> str:
    """The name in DTYPES."""
    return next(name for name, known in DTYPES.items() if known == dtype)


UNKNOWN = 4 << 30
LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def host_memory() -> int:
    """Bytes of main memory in total, or the container's limit where that is lower; 4 GiB where the system does not tell.

    The total and not what is free at the moment: a plan made from it is the same on every run.
    """
    return min([_physical(), *(limit for file in LIMIT_FILES if (limit := _limit(Path(file))))])


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" means no limit
        return None
