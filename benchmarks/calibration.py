"""How sure is a model, and rightly so? Coverage, CRPS and rank correlation of its draws, before and after recalibration.

    python -m benchmarks calibration --json benchmarks/results/calibration.json --plot docs/img/reliability.png --shelve

The factor of each row (grid, steps and solver) is fitted on one part of the photographs that training kept back, and measured on the other
part and on test photographs that nothing was fitted to. Rows are added to the JSON file one by one (--rows). --shelve puts what was
fitted into the model's entry of the manifest, which `Restoration.uncertainty` and `.interval` use; --entry prints it. --again works from
an earlier result instead of measuring.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._pages import Value
from benchmarks._shared import Clock, environment, positive, read_json, shared_folder, table, write_json
from benchmarks.quality import TOLD
from unveil.networks.condition import KINDS

NAME = "calibration"
SEED = 29
ROWS = ("doubt", "default", "second order", "cubic")
FITTED_ON = "calibration part"
HELD_OUT = "held-out part"
TESTS = ("PolyU_100", "LOL_eval15", "SRD", "tao256/HSTS", "tao256/Kodak24")
ALL = "all tests"
STAGES = ("before", "after")


def settings(row: str) -> dict[str, Any]:
    """What `Restorer.restore` is asked for in a row: what the model's network says, or the spread of draws: the model's own way, second

    order on its grid, or eight second-order steps.
    """
    if row == "doubt":
        return {"uncertainty": True}
    chosen = {"default": {}, "second order": {"solver": "2m"}, "cubic": {"grid": "cubic", "steps": 8, "solver": "2m"}}
    return {"fidelity": 0.0, **chosen[row]}


@dataclass(frozen=True)
class Group:
    """Photographs of one source. x, y: (N, 3, size, size) in [0, 1], target and input. told: of each, the damage it has."""

    x: Any
    y: Any
    told: tuple[tuple[str, ...], ...]


def held_out(model: Any, size: int, photographs: int, pairs: int) -> tuple[Group, Group]:
    """The photographs that training kept back, each used once, cut at random into one part to fit on and one to measure on.

    Clean photographs are damaged as in the model's own training, all of them; real pairs come as they are. Of an odd number the first
    part has more.
    """
    import torch

    from benchmarks import _choices
    from unveil import degradation
    from unveil.data.dataset import crops

    source = _choices.held_out(model)
    real = [
        (p, tuple(entry.kinds))
        for (_, found), entry in zip(source.pairs, source.data.pairs, strict=True)
        for p in found
    ]
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
        found.append((x, y, kinds[0]))
    for i in generator.permutation(len(real))[:pairs]:
        photograph, told = real[i]
        found.append((*_choices.most_damaged(photograph, size, generator), told))
    order, half = generator.permutation(len(found)), (len(found) + 1) // 2
    parts = [[found[i] for i in part] for part in (order[:half], order[half:])]
    first, second = (
        Group(torch.cat([x for x, _, _ in part]), torch.cat([y for _, y, _ in part]), tuple(t for _, _, t in part))
        for part in parts
    )
    return first, second


def test_set(name: str, size: int, count: int) -> Group:
    """`count` pairs of a test set, evenly spread over its sorted names, a cut of each (`_choices.most_damaged`)."""
    import torch

    from unveil import photo
    from unveil.bench.sets import find

    pairs = find(shared_folder() / "data" / "test")[name].pairs
    generator = np.random.default_rng([SEED, size])
    found = []
    for i in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int):
        y, x = (photo.read(path).pixels for path in pairs[i][1:])
        places = [tuple(int(generator.integers(max(1, n - size + 1))) for n in x.shape[:2]) for _ in range(8)]
        top, left = max(places, key=lambda p: float(np.abs(_cut(x, p, size) - _cut(y, p, size)).mean()))
        found.append([torch.from_numpy(_cut(a, (top, left), size).transpose(2, 0, 1).copy())[None] for a in (x, y)])
    told = tuple(TOLD[name].split(","))
    return Group(torch.cat([x for x, _ in found]), torch.cat([y for _, y in found]), (told,) * len(found))


def _cut(pixels: np.ndarray, place: tuple[int, ...], size: int) -> np.ndarray:
    return pixels[place[0] : place[0] + size, place[1] : place[1] + size]


def evidence(restorer: Any, group: Group, row: str, draws: int) -> tuple[list[Any], dict[str, Any]]:
    """The evidence of every photograph, restored as `unveil restore --uncertainty` does, and the protocol of the runs."""
    from unveil.evaluation.evidence import gather, gather_stated

    found, protocol = [], {}
    for i, (x, y, told) in enumerate(zip(group.x, group.y, group.told, strict=True)):
        fix = {"fix": told} if restorer.model.spec.conditioned else {}
        count = 1 if row == "doubt" else draws
        out = restorer.restore(y, samples=count, seed=SEED * 101 + i, **settings(row), **fix)
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
    shares = {
        level: [float((e.scores() <= q).mean()) for e in found] for level, q in calibration.pixel.items()
    }  # fmt: skip
    whole = {
        level: [float((e.scores() <= q).mean()) for e in found] for level, q in calibration.photograph.items()
    }  # fmt: skip
    return {
        "pixel": {f"{level:g}": float(np.mean(s)) for level, s in shares.items()},
        "photograph": {f"{level:g}": float(np.mean([v >= level for v in s])) for level, s in whole.items()},
    }


def _plain(measured: Any) -> dict[str, Any]:
    """Levels as text, as JSON has them."""
    tree = asdict(measured)
    return {k: {f"{x:g}": y for x, y in v.items()} if isinstance(v, dict) else v for k, v in tree.items()}


def measure_row(restorer: Any, label: str, groups: dict[str, Group], draws: int, numbers: str) -> dict[str, Any]:
    from unveil.evaluation.calibration import fit, fit_stated, measure
    from unveil.models.calibration import DECIDES

    clock = Clock()
    known, protocol = evidence(restorer, groups[FITTED_ON], label, draws)
    own = {k: protocol[k] for k in ("model", *DECIDES, "dtype")}
    about = {**own, "numbers": numbers}
    stated = label == "doubt"
    if stated:  # fewer where light stays, which `Restorer` knows
        about["steps"] = restorer.model.spec.defaults.steps
    calibration = fit_stated(known, groups[FITTED_ON].told, protocol=about) if stated else fit(known, protocol=about)
    found = {name: evidence(restorer, group, label, draws)[0] for name, group in groups.items() if name != FITTED_ON}
    told = {name: list(group.told) for name, group in groups.items()}
    found[ALL], told[ALL] = ([e for name in TESTS for e in of[name]] for of in (found, told))
    if stated:
        for kind in dict.fromkeys(k for names in told[HELD_OUT] for k in names):
            chosen = [i for i, names in enumerate(told[HELD_OUT]) if kind in names]
            found[kind], told[kind] = ([of[HELD_OUT][i] for i in chosen] for of in (found, told))
    sets: dict[str, Any] = {}
    for name, values in found.items():
        before = measure(values)
        if stated:
            values = [e.restated(calibration.std(e.spread, names)) for e, names in zip(values, told[name], strict=True)]
            after = measure(values)
        else:
            after = measure(values, calibration.factor)
        sets[name] = {
            "before": _plain(before),
            "after": _plain(after),
            "coverage90_of_each": [measure([e], 1.0 if stated else calibration.factor).coverage[0.9] for e in values],
            "conformal": conformal(calibration, values),
        }
        print(
            f"  {label} / {name} ({len(values)}): 90 % covers {100 * before.coverage[0.9]:.0f} %, after {100 * after.coverage[0.9]:.0f} %; "
            f"patch rank correlation {before.patch_correlation:.2f}",
            flush=True,
        )
    print(f"{label}: factor {calibration.factor:.2f}, {clock.processor:.0f} s (wall {clock.wall:.0f})", flush=True)
    return {"calibration": calibration.to_dict(), "sets": sets, "processor_seconds": clock.processor}


def measure_all(arguments: Any) -> dict[str, Any]:
    from unveil.restorer import load

    restorer = load(arguments.model, "cpu")
    quick = arguments.quick
    size, draws = (32, 4) if quick else (arguments.size, arguments.draws)
    photographs, pairs, each = (16, 4, 1) if quick else (arguments.photographs, arguments.pairs, arguments.each)
    first, second = held_out(restorer.model, size, photographs, pairs)
    groups = {FITTED_ON: first, HELD_OUT: second, **{n: test_set(n, size, each) for n in TESTS}}
    d = restorer.model.spec.defaults
    numbers = (
        f"told the damage; {draws} draws at fidelity 0, or what the network of doubt says of the default restoration, resolution "
        f"{d.resolution} (low stage {d.low} px); random crops of {size} px "
        "(of a real pair, of eight cuts the one that differs most from its target); "
        f"{len(first.x)} and {len(second.x)} photographs that training kept back ({photographs} with simulated damage, {pairs} real pairs, "
        "at most), cut in two at random, the first part to fit on; "
        f"{each} of each test set; seed {SEED}"
    )
    own = {"model": restorer.model.spec.name, "sha256": restorer.model.sha256, "numbers": numbers}
    protocol = {**environment(), "quick": quick, **own}
    path = arguments.json
    result: dict[str, Any] = {"benchmark": NAME, "protocol": protocol, "rows": {}}
    for label in arguments.rows:
        row = measure_row(restorer, label, groups, draws, numbers)
        if path and path.exists():
            before = read_json(path)
            if before.get("protocol") == json.loads(json.dumps(protocol)):
                result["rows"] = {**before["rows"], **result["rows"]}
        result["rows"][label] = row
        write_json(path, result)
    result["rows"] = {label: result["rows"][label] for label in ROWS if label in result["rows"]}
    write_json(path, result)
    return result


def way(row: dict[str, Any], label: str) -> str:
    """A row in words."""
    p = row["calibration"]["protocol"]
    return f"{label}: {p['grid'].replace('_', ' ')}, {p['steps']}, {p['solver']}"


HEAD = (
    "photographs", "grid, steps, solver", "50 %", "80 %", "90 %", "95 %", "90 % after", "CRPS (of 255)", "CRPS after",
    "rank corr., patches", "rank corr., pixels",
)  # fmt: skip


def facts(result: dict[str, Any]) -> dict[str, Value | str]:
    """Tables, and for every ROW (spaces as underscores) and SET: ROW.SET.before.90, .after.90, .patch, ...; ROW.factor."""
    made: dict[str, Value | str] = {
        "protocol": result["protocol"]["numbers"],
        "model": f"{result['protocol']['model']} (sha256 {result['protocol']['sha256'][:12]})",
    }
    body, factors, promised = [], [], []
    for label, row in result["rows"].items():
        key = label.replace(" ", "_")
        shown = way(row, label)
        fitted = row["calibration"]
        made[f"{key}.factor"] = Value([fitted["factor"]])
        made[f"{key}.photographs"] = str(fitted["photographs"])
        made[f"{key}.draws"] = str(fitted["draws"])
        widths = [fitted["pixel"].get(x) for x in ("0.5", "0.8", "0.9", "0.95")]
        factors.append([shown, f"{fitted['factor']:.2f}", *("none" if w is None else f"{w:.2f}" for w in widths)])
        for name, found in row["sets"].items():
            place = f"{key}.{name.replace(' ', '_').replace('/', '_')}"
            before, after = found["before"], found["after"]
            for stage in STAGES:
                for level, share in found[stage]["coverage"].items():
                    made[f"{place}.{stage}.{round(100 * float(level))}"] = Value([100 * share], 1)
                made[f"{place}.{stage}.crps"] = Value([255 * found[stage]["crps"]])
            for short, long in (
                ("patch", "patch_correlation"),
                ("pixel", "pixel_correlation"),
                ("pooled", "pooled_correlation"),
            ):
                made[f"{place}.{short}"] = Value([before[long]])
            made[f"{place}.spread"], made[f"{place}.error"] = (Value([255 * before[x]], 1) for x in ("spread", "error"))
            made[f"{place}.photographs"] = str(before["photographs"])
            made[f"{place}.conformal"] = Value([100 * found["conformal"]["pixel"].get("0.9", float("nan"))], 1)
            made[f"{place}.conformal_whole"] = Value(
                [100 * found["conformal"]["photograph"].get("0.9", float("nan"))], 0
            )
            body.append(
                [
                    f"{name} ({before['photographs']})",
                    shown,
                    *(f"{100 * before['coverage'][x]:.0f}" for x in ("0.5", "0.8", "0.9", "0.95")),
                    f"{100 * after['coverage']['0.9']:.0f}",
                    f"{255 * before['crps']:.2f}",
                    f"{255 * after['crps']:.2f}",
                    f"{before['patch_correlation']:.2f}",
                    f"{before['pixel_correlation']:.2f}",
                ]
            )
            promised.append(
                [
                    f"{name} ({before['photographs']})",
                    shown,
                    str(made[f"{place}.conformal"]),
                    f"{made[f'{place}.conformal_whole']}",
                ]
            )
    order = {name: i for i, name in enumerate((HELD_OUT, *KINDS, *TESTS, ALL))}

    def arranged(rows: list[list[str]]) -> list[list[str]]:
        return sorted(rows, key=lambda r: order[r[0].rsplit(" (", 1)[0]])

    made["table"] = table(HEAD, arranged(body))
    made["factors"] = table(
        ["grid, steps, solver", "factor", "width 50 %", "width 80 %", "width 90 %", "width 95 %"], factors
    )
    made["promise"] = table(
        ["photographs", "grid, steps, solver", "values inside (%)", "photographs with 90 % inside (%)"],
        arranged(promised),
    )
    return made


def arguments(command: ArgumentParser) -> None:
    command.add_argument("--model", default="general", help="name on the shelf, model file or run folder")
    command.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=["default"], help="default alone if not named"
    )
    command.add_argument("--size", type=positive, default=256)
    command.add_argument("--draws", type=positive, default=8)
    command.add_argument(
        "--photographs", type=positive, default=24, help="kept back by training, with simulated damage"
    )
    command.add_argument("--pairs", type=positive, default=10, help="real pairs kept back by training")
    command.add_argument("--each", type=positive, default=2, help="photographs of each test set")
    command.add_argument("--plot", type=Path, metavar="PNG", help="draw the reliability plot into this file")
    command.add_argument("--again", type=Path, metavar="FILE", help="tables and plot of an earlier result")
    command.add_argument("--entry", choices=list(ROWS), help="print what belongs beside the model")
    command.add_argument(
        "--shelve", action="store_true", help="put what was fitted into the manifest entry of these weights"
    )


def main(arguments: Namespace) -> None:
    result = read_json(arguments.again) if arguments.again else measure_all(arguments)
    if arguments.entry:
        print(json.dumps(result["rows"][arguments.entry]["calibration"], indent=1))
        return
    found = facts(result)
    print("\n\n".join(str(found[name]) for name in ("table", "factors", "promise")))
    if arguments.plot:
        from benchmarks.plots import reliability

        print(f"wrote {reliability(result, arguments.plot)}")
    if arguments.shelve:
        from recipes import shelve

        shelve.calibrations(result)
