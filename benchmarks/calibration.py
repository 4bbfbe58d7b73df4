"""How sure is a model, and rightly so? Coverage, CRPS and rank correlation of its draws, before and after recalibration.

    python -m benchmarks calibration --json benchmarks/results/calibration.json

The factor of each row (grid, steps and solver) is fitted on one part of the photographs that training kept back, and measured on the other
part and on test photographs that nothing was fitted to. Rows are added to the JSON file one by one (--rows).
`python -m recipes shelve --calibration` puts what was fitted into the model's entry of the manifest, which `Restoration.uncertainty` and
`.interval` use.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from benchmarks._pages import Facts
from benchmarks._sampling import TestSet, joined, most_damaged, source_of
from benchmarks._shared import MODEL, Clock, earlier, protocol, shared_folder, table, write_json
from benchmarks.quality import TOLD
from unveil import degradation, photo
from unveil.bench.sets import find
from unveil.data.dataset import crops
from unveil.evaluation import calibration as intervals
from unveil.evaluation.evidence import gather, gather_stated
from unveil.models import shelf
from unveil.models.calibration import DECIDES
from unveil.networks.condition import KINDS
from unveil.restorer import Restorer
from unveil.util.tensors import batch_of

SEED = 29
ROWS = {"doubt": {"uncertainty": True}, "default": {"fidelity": 0.0}}
"""Row -> what `Restorer.restore` is asked for: what the model's network says of its error, or the spread of draws."""
FITTED_ON = "calibration part"
HELD_OUT = "held-out part"
TESTS = ("PolyU_100", "LOL_eval15", "SRD", "tao256/HSTS", "tao256/Kodak24")
ALL = "all tests"


def held_out(model: Any, size: int, photographs: int, pairs: int) -> tuple[TestSet, TestSet]:
    """The photographs that training kept back, each used once, cut into one part to fit on and one to measure on.

    The cut is at random but for the kinds of damage, of which both parts have alike many.

    Clean photographs are damaged as in the model's own training, all of them; real pairs come as they are. Of an odd number the first
    part has more.
    """
    source = source_of(model)
    entries = zip(source.pairs, source.data.pairs, strict=True)
    real = [(p, tuple(entry.kinds)) for (_, found), entry in entries for p in found]
    scenes = {p.clean.path for p, _ in real}
    clean = [p for p in source.photos if p.clean.path not in scenes and min(p.clean.shape[:2]) >= size]
    generator = np.random.default_rng(SEED)
    data = model.spec.recipe["config"]["data"]
    found = []
    for i in generator.permutation(len(clean))[:photographs]:
        x, _ = crops([clean[i]], 1, size, generator)
        own = torch.Generator().manual_seed(SEED * 1009 + int(i))
        y, kinds, _ = degradation.mixture(
            x, own, weights=data["kinds"] or None, second=data.get("second", 0.35), clean=0.0
        )
        found.append(TestSet(x, y, (kinds[0],)))
    for i in generator.permutation(len(real))[:pairs]:
        photograph, told = real[i]
        found.append(TestSet(*most_damaged(photograph, size, generator), (told,)))
    # Every other one of each kind: what is fitted on mild damage alone stretches too little.
    order = sorted(generator.permutation(len(found)), key=lambda i: found[i].kinds)
    return joined([found[i] for i in order[::2]]), joined([found[i] for i in order[1::2]])


def test_set(name: str, size: int, count: int) -> TestSet:
    """`count` pairs of a test set, evenly spread over its sorted names, a cut of each (`most_damaged`)."""
    pairs = find(shared_folder() / "data" / "test")[name].pairs
    generator = np.random.default_rng([SEED, size])
    found = []
    for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int):
        y, x = (photo.read(path).pixels for path in pairs[i][1:])
        places = [tuple(int(generator.integers(max(1, n - size + 1))) for n in x.shape[:2]) for _ in range(8)]
        top, left = max(places, key=lambda p: float(np.abs(_cut(x, p, size) - _cut(y, p, size)).mean()))
        x, y = (batch_of(_cut(a, (top, left), size)) for a in (x, y))
        found.append(TestSet(x, y, (tuple(TOLD[name].split(",")),)))
    return joined(found)


def _cut(pixels: np.ndarray, place: tuple[int, ...], size: int) -> np.ndarray:
    return pixels[place[0] : place[0] + size, place[1] : place[1] + size]


def evidence(restorer: Any, group: TestSet, row: str, draws: int) -> tuple[list[Any], dict[str, Any]]:
    """The evidence of every photograph, restored as `unveil restore --uncertainty` does, and the protocol of the runs."""
    found, protocol = [], {}
    for i, (x, y, told) in enumerate(zip(group.x, group.y, group.kinds, strict=True)):
        fix = {"fix": told} if restorer.model.spec.conditioned else {}
        count = 1 if row == "doubt" else draws
        out = restorer.restore(y, samples=count, seed=SEED * 101 + i, **ROWS[row], **fix)
        protocol, truth = out.protocol, x.permute(1, 2, 0).numpy()
        if row == "doubt":
            said = np.hypot(out.doubt.local, out.doubt.light)
            found.append(gather_stated(out.image, said, truth, seed=i))
        else:
            found.append(gather(out.samples, truth, seed=i))
        print(f"\r{row}: {i + 1} of {len(group.x)}", end="", file=sys.stderr, flush=True)
    return found, protocol


def conformal(calibration: Any, found: list[Any]) -> dict[str, Any]:
    """level -> what the conformal widths hold: share of values, and share of photographs that hold the level."""

    def shares(widths: dict[float, float]) -> dict[float, np.ndarray]:
        return {level: np.array([float((e.scores() <= q).mean()) for e in found]) for level, q in widths.items()}

    return {
        "pixel": {f"{level:g}": float(s.mean()) for level, s in shares(calibration.pixel).items()},
        "photograph": {f"{level:g}": float((s >= level).mean()) for level, s in shares(calibration.photograph).items()},
    }


def _plain(measured: Any) -> dict[str, Any]:
    """Levels as text, as JSON has them."""
    tree = asdict(measured)
    return {k: {f"{x:g}": y for x, y in v.items()} if isinstance(v, dict) else v for k, v in tree.items()}


def measure_row(restorer: Any, label: str, groups: dict[str, TestSet], draws: int, numbers: str) -> dict[str, Any]:
    clock = Clock()
    known, protocol = evidence(restorer, groups[FITTED_ON], label, draws)
    own = {k: protocol[k] for k in ("model", *DECIDES, "dtype")}
    about = {**own, "numbers": numbers}
    stated = label == "doubt"
    if stated:  # fewer where light stays, which `Restorer` knows
        about["steps"] = restorer.model.spec.defaults.steps
        calibration = intervals.fit_stated(known, groups[FITTED_ON].kinds, protocol=about)
    else:
        calibration = intervals.fit(known, protocol=about)
    factor = 1.0 if stated else calibration.factor
    found = {name: evidence(restorer, group, label, draws)[0] for name, group in groups.items() if name != FITTED_ON}
    told = {name: list(group.kinds) for name, group in groups.items()}
    found[ALL], told[ALL] = ([e for name in TESTS for e in of[name]] for of in (found, told))
    if stated:
        for kind in dict.fromkeys(k for names in told[HELD_OUT] for k in names):
            chosen = [i for i, names in enumerate(told[HELD_OUT]) if kind in names]
            found[kind], told[kind] = ([of[HELD_OUT][i] for i in chosen] for of in (found, told))
    sets: dict[str, Any] = {}
    for name, values in found.items():
        before = intervals.measure(values)
        if stated:
            values = [e.restated(calibration.std(e.spread, names)) for e, names in zip(values, told[name], strict=True)]
        after = intervals.measure(values, factor)
        each = [intervals.measure([e], factor).coverage[0.9] for e in values]
        held = conformal(calibration, values)
        sets[name] = {"before": _plain(before), "after": _plain(after), "coverage90_of_each": each, "conformal": held}
        print(
            f"  {label} / {name} ({len(values)}): 90 % covers {100 * before.coverage[0.9]:.0f} %, after {100 * after.coverage[0.9]:.0f} %; "
            f"patch rank correlation {before.patch_correlation:.2f}",
            flush=True,
        )
    print(f"{label}: factor {calibration.factor:.2f}, {clock.processor:.0f} s (wall {clock.wall:.0f})", flush=True)
    return {"calibration": calibration.to_dict(), "sets": sets, "processor_seconds": clock.processor}


def measure(given: Namespace) -> dict[str, Any]:
    # The model itself: what it hands over to a specialist has that one's calibration.
    restorer = Restorer(replace(shelf.load(given.model), specialists={}), "cpu")
    size, draws = (32, 4) if given.quick else (given.size, given.draws)
    photographs, pairs, each = (16, 4, 1) if given.quick else (given.photographs, given.pairs, given.each)
    first, second = held_out(restorer.model, size, photographs, pairs)
    groups = {FITTED_ON: first, HELD_OUT: second, **{n: test_set(n, size, each) for n in TESTS}}
    d = restorer.model.spec.defaults
    numbers = (
        f"told the damage; {draws} draws at fidelity 0, or what the network of doubt says of the default restoration, resolution "
        f"{d.resolution} (low stage {d.low} px); random crops of {size} px "
        "(of a real pair, of eight cuts the one that differs most from its target); "
        f"{len(first.x)} and {len(second.x)} photographs that training kept back ({photographs} with simulated damage, {pairs} real pairs, "
        "at most), cut in two at random but alike in kinds of damage, the first part to fit on; "
        f"{each} of each test set; seed {SEED}"
    )
    own = protocol(given, model=restorer.model.spec.name, sha256=restorer.model.sha256, numbers=numbers)
    done: dict[str, Any] = {}
    for label in given.rows:
        row = measure_row(restorer, label, groups, draws, numbers)
        done = {**earlier(given.json, own).get("rows", {}), **done, label: row}
        done = {known: done[known] for known in ROWS if known in done}
        write_json(given.json, {"protocol": own, "rows": done})
    return {"protocol": own, "rows": done}


def way(row: dict[str, Any], label: str) -> str:
    """A row in words."""
    p = row["calibration"]["protocol"]
    return f"{label}: {p['grid'].replace('_', ' ')}, {p['steps']}, {p['solver']}"


HEAD = (
    "photographs", "grid, steps, solver", "50 %", "80 %", "90 %", "95 %", "90 % after", "CRPS (of 255)", "CRPS after",
    "rank corr., patches", "rank corr., pixels",
)  # fmt: skip


def facts(result: dict[str, Any]) -> Facts:
    """Tables, and for every ROW (spaces as underscores) and SET: ROW.SET.before.90, .after.90, .patch, .pooled; ROW.factor."""
    own = result["protocol"]
    made = Facts(protocol=own["numbers"], model=f"{own['model']} (sha256 {own['sha256'][:12]})")
    body, factors, promised = [], [], []
    for label, row in result["rows"].items():
        key, shown, fitted = label.replace(" ", "_"), way(row, label), row["calibration"]
        made[f"{key}.photographs"] = str(fitted["photographs"])
        widths = [fitted["pixel"].get(x) for x in ("0.5", "0.8", "0.9", "0.95")]
        widths = ["none" if w is None else f"{w:.2f}" for w in widths]
        factors.append([shown, made.put(f"{key}.factor", fitted["factor"]), *widths])
        for name, found in row["sets"].items():
            place = f"{key}.{name.replace(' ', '_').replace('/', '_')}"
            before, after, held = found["before"], found["after"], found["conformal"]
            made.put(f"{place}.before.90", before["coverage"]["0.9"], 1, 100)
            made.put(f"{place}.after.90", after["coverage"]["0.9"], 1, 100)
            made.put(f"{place}.pooled", before["pooled_correlation"])
            of = [f"{name} ({before['photographs']})", shown]
            held_by = [before["coverage"][x] for x in ("0.5", "0.8", "0.9", "0.95")] + [after["coverage"]["0.9"]]
            scored = [f"{255 * stage['crps']:.2f}" for stage in (before, after)]
            ranked = [made.put(f"{place}.patch", before["patch_correlation"]), f"{before['pixel_correlation']:.2f}"]
            body.append([*of, *(f"{100 * share:.0f}" for share in held_by), *scored, *ranked])
            shares = [100 * held[part].get("0.9", float("nan")) for part in ("pixel", "photograph")]
            promised.append([*of, f"{shares[0]:.1f}", f"{shares[1]:.0f}"])
    order = {name: i for i, name in enumerate((HELD_OUT, *KINDS, *TESTS, ALL))}

    def arranged(rows: list[list[str]]) -> list[list[str]]:
        return sorted(rows, key=lambda r: order[r[0].rsplit(" (", 1)[0]])

    made["table"] = table(HEAD, arranged(body))
    head = ["grid, steps, solver", "factor", *(f"width {level} %" for level in (50, 80, 90, 95))]
    made["factors"] = table(head, factors)
    head = ["photographs", "grid, steps, solver", "values inside (%)", "photographs with 90 % inside (%)"]
    made["promise"] = table(head, arranged(promised))
    return made


def show(result: dict[str, Any]) -> str:
    found = facts(result)
    return "\n\n".join(found.cells("table", "factors", "promise"))


OPTIONS = {
    "--model": MODEL, "--size": 256, "--draws": 8,
    "--rows": (("default",), "default alone if not named", ROWS),
    "--photographs": (24, "kept back by training, with simulated damage"),
    "--pairs": (10, "real pairs kept back by training"),
    "--each": (2, "photographs of each test set"),
}  # fmt: skip
