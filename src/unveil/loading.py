"""`load` and `restore` for all methods: trained models, and zero-shot methods on a frozen prior."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil import restorer
from unveil.errors import InputError, ModelError
from unveil.options import Options
from unveil.restoration import Restoration
from unveil.restorer import Restorer

if TYPE_CHECKING:
    from unveil.zeroshot_restorer import ZeroShotRestorer

BEFORE = "philox4x64"
"""The generator of noise of protocols that name none: they were made when there was no other."""
TRAINED = "learnir"
"""The method of models that were trained to restore; the others are zero-shot."""


def load(
    name: str | Path = "",
    device: str = "auto",
    dtype: str = "auto",
    *,
    method: str = TRAINED,
    engine: str = "torch",
    **settings: Any,
) -> Restorer | ZeroShotRestorer:
    """A restorer by name.

    method: "learnir", then name is a model on the shelf ("general" by default), a weight file or the folder of a run; or a zero-shot
    method (see `zeroshot.methods`), then name is a prior on the shelf (the method's own by default), a folder or a hub id, and settings
    are the method's options: unveil.load("small-pixel", method="diffpir", operator="blur:sigma=2");
    preset="paper" takes the published settings of ldrps, upzeroir, gdp and tao, for whatever is not given. engine: what evaluates a trained
    model's network, "torch", "onnx" or "openvino" (the last two on a processor, from an extra). A trained model that is
    shown a mask takes it as mask: a file, a folder of masks that have their photographs' names, or an array, white where the damage is.
    Raises ModelError for what cannot be found, InputError for a method, option or device that is not there.
    """
    mask = settings.pop("mask", None) if method == TRAINED else None
    if method == TRAINED and not settings:
        opened = restorer.load("general" if name in ("", None) else name, device, dtype, engine)
        if mask is None:
            return opened
        from unveil.masked import MaskedRestorer

        return MaskedRestorer(opened.model, mask, device, dtype, engine=engine)
    if engine != "torch":
        raise InputError(f"zero-shot methods run in torch; leave out the engine {engine}")
    return _zero_shot(name, device, dtype, method, settings)


def _zero_shot(name: str | Path, device: str, dtype: str, method: str, settings: dict[str, Any]) -> ZeroShotRestorer:
    """A zero-shot restorer; what they are made of is loaded here, and not for trained models. Raises what `load` raises."""
    from unveil import zeroshot_restorer
    from unveil.util.words import did_you_mean
    from unveil.zeroshot.methods import METHODS

    if method == TRAINED:
        raise InputError(
            f"only zero-shot methods take {', '.join(settings)}; choose one of {', '.join(METHODS)} as method"
        )
    if method not in METHODS:
        raise InputError(f"no method is called {method!r}; {did_you_mean(method, [TRAINED, *METHODS], most=2)}")
    tiny = settings.pop("tiny", None)
    label = settings.pop("label", None)
    preset = settings.pop("preset", None) or ""
    return zeroshot_restorer.load(
        name,
        method,
        settings,
        device=device,
        dtype=dtype,
        tiny=tiny,
        label=label,
        preset=preset,
        extras=_extras(method),
    )


def restore(image: Any, model: str | Path = "", *, method: str = TRAINED, **settings: Any) -> Restoration:
    """`load(model).restore(image, **settings)` for a single image.

    Args:
        image: As `Restorer.restore` takes it.
        model: As `load` takes it.
        method: As `load` takes it.
        settings: The fields of `Options`, of the method where it is zero-shot, `device` and `dtype`. The protocol of a restoration is
            such a set: restore(image, **out.protocol) gives the same pixels again, on the same hardware.

    Raises:
        ModelError: The model is not there, or a protocol was made with other weights.
        InputError: A setting that does not exist, or an image that cannot be restored.

    """
    recorded = {k: settings.pop(k) for k in _RECORDED if k in settings}
    own = _of_the_method(method)  # UP-ZeroIR has a `keep` of its own
    called = {k: settings.pop(k) for k in [f.name for f in fields(Options)] if k in settings and k not in own}
    if method == TRAINED and recorded:
        called.setdefault("generator", BEFORE)
    wanted = recorded.get("sha256", "")
    try:
        restorer = load(model, method=method, **settings)
    except ModelError as error:
        if not wanted:
            raise
        own = f"{error}; a protocol names a model and not its file: restore(image, **(protocol | {{'model': FILE}}))"
        raise ModelError(own) from error
    found = restorer.model.sha256
    if wanted and wanted != found:
        raise ModelError(
            f"the protocol was made with weights {wanted[:12]}..., {model or 'the default model'} now has {found[:12]}...: other pixels"
        )
    out = restorer.restore(image, **called)
    shown = recorded.get("mask_sha256", "")
    if shown and shown != out.protocol.get("mask_sha256"):
        raise InputError("the protocol was made with another mask: other pixels")
    return out


_RECORDED = ("sha256", "unveil", "hardware", "counts", "chosen", "describer", "mask_sha256", "threads")
"""Entries of a protocol that are no settings."""


def _of_the_method(method: str) -> set[str]:
    """The options of a zero-shot method that go to it, whatever else has their names; `steps` is told with each call."""
    if method == TRAINED:
        return set()
    from unveil.zeroshot.methods import METHODS

    return set(METHODS[method].takes()) - {"steps"} if method in METHODS else set()


def _extras(method: str) -> dict[str, Any]:
    """What a method is given beside its options: UP-ZeroIR's offline judge, which the rooms below do not know."""
    if method != "upzeroir":
        return {}
    from unveil.evaluation.metrics import naturalness
    from unveil.zeroshot.iqa import from_distance

    return {"judge": from_distance(naturalness.naturalness)}
