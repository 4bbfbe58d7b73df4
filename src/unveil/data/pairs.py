"""Which degraded file belongs to which clean one: by a rule the caller names, or by how a published benchmark lies on disk.

Everything that does not fit is listed at once. The layouts are data: patterns are regular expressions over the path below the
benchmark's folder, forward slashes, without the suffix; they may start at any depth. Groups named key... must agree between
partners; a split keeps together what agrees in the group
named scene, or else in the key. `split` is the authors' own: a test split is never trained on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unveil.data.files import images_in
from unveil.errors import InputError
from unveil.util.words import check_known

RULES = ("stem", "order")


@dataclass(frozen=True)
class Match:
    """pairs: (key, degraded, clean). misfits: one sentence for each file that has no partner or too many."""

    pairs: list[tuple[str, Path, Path]]
    misfits: list[str]


def relative(path: Path, root: Path) -> str:
    """The path below `root` without its suffix, with forward slashes: what patterns are matched against."""
    return path.relative_to(root).with_suffix("").as_posix()


def pattern(name: str, what: str) -> re.Pattern[str]:
    """A name with one `*`, which stands for the part both partners share, as a regular expression.

    "*_hazy" matches 01_hazy and dir/01_hazy with the keys 01 and dir/01. Raises InputError without exactly one `*`.
    """
    if name.count("*") != 1:
        raise InputError(f"{what} must hold exactly one * for the part that both names share, as *_hazy; got {name!r}")
    before, after = name.split("*")
    return re.compile(f"(?P<key_folder>(?:.*/)?){re.escape(before)}(?P<key>[^/]+?){re.escape(after)}")


def key(regex: re.Pattern[str], name: str) -> str | None:
    """What `regex` captures of a whole name, joined, or None where it does not match. The groups named key..."""
    found = regex.fullmatch(name)
    if found is None:
        return None
    return "/".join(v.rstrip("/") for k, v in found.groupdict().items() if k.startswith("key") and v)


def by_key(paths: Iterable[Path], root: Path, regex: re.Pattern[str]) -> dict[str, list[Path]]:
    """The paths whose names match, by key, in their order."""
    out: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found = key(regex, relative(path, root))
        if found is not None:
            out[found].append(path)
    return dict(out)


def match(
    degraded: dict[str, list[Path]], clean: dict[str, list[Path]], *, many: bool = False, spare: bool = False
) -> Match:
    """Partners of equal key.

    many: several degraded versions of one clean photograph are expected. spare: clean ones without any are no misfits.
    """
    pairs: list[tuple[str, Path, Path]] = []
    misfits: list[str] = []
    for name, versions in degraded.items():
        partners = clean.get(name, [])
        if len(partners) != 1:
            reason = (
                "has no partner"
                if not partners
                else f"has {len(partners)} partners: {', '.join(p.name for p in partners)}"
            )
            misfits += [f"{path} {reason}" for path in versions]
        elif len(versions) > 1 and not many:
            misfits.append(
                f"{partners[0]} has {len(versions)} degraded versions: {', '.join(p.name for p in versions)}"
            )
        else:
            pairs += [(name if len(versions) == 1 else f"{name}/{path.stem}", path, partners[0]) for path in versions]
    if not spare:
        misfits += [
            f"{path} has no degraded version" for name, paths in clean.items() if name not in degraded for path in paths
        ]
    return Match(pairs, misfits)


def in_order(degraded: list[Path], clean: list[Path]) -> Match:
    """Partners by position in the sorted lists, whatever their names. Only for folders known to correspond."""
    if len(degraded) != len(clean):
        return Match(
            [], [f"{len(degraded)} degraded images against {len(clean)} clean ones cannot be matched by order"]
        )
    return Match([(d.stem, d, c) for d, c in zip(degraded, clean, strict=True)], [])


def in_folders(
    degraded: Path, clean: Path, *, degraded_name: str = "*", clean_name: str = "*", rule: str = "stem"
) -> Match:
    """The pairs of two folders.

    rule "stem": the names without suffix match degraded_name and clean_name with the same part in place of `*`. rule "order":
    by position in the sorted lists. Raises InputError for a missing or empty folder, or an unknown rule.
    """
    if rule == "order":
        return in_order(images_in(degraded), images_in(clean))
    check_known("rule of matching", rule, RULES)
    left, right = (pattern(n, w) for n, w in ((degraded_name, "degraded_name"), (clean_name, "clean_name")))
    damaged, targets = images_in(degraded), images_in(clean)
    by_left, by_right = by_key(damaged, degraded, left), by_key(targets, clean, right)
    found = match(by_left, by_right)
    known = {p for paths in (*by_left.values(), *by_right.values()) for p in paths}
    strays = [
        f"{path} is not called {name}"
        for paths, name in ((damaged, degraded_name), (targets, clean_name))
        for path in paths
        if path not in known
    ]
    return Match(found.pairs, found.misfits + strays)


def listed(misfits: list[str]) -> str:
    """The count and the first 20, for a message."""
    more = f"; and {len(misfits) - 20} more" if len(misfits) > 20 else ""
    return f"{len(misfits)} misfits: " + "; ".join(misfits[:20]) + more


@dataclass(frozen=True)
class Part:
    """One split. degraded: None for a set of clean photographs. enlarge: degraded files are smaller, brought up by bicubic."""

    split: str
    degraded: str | None
    clean: str
    many: bool = False
    spare: bool = True
    enlarge: bool = False


@dataclass(frozen=True)
class Layout:
    """A benchmark. source: who made it, where its terms are found."""

    name: str
    source: str
    parts: tuple[Part, ...]


_BOTH = {"train": "train", "test": "test"}


def _splits(degraded: str, clean: str, names: Mapping[str, str] = _BOTH, **more: bool) -> tuple[Part, ...]:
    """Splits that lie alike. names: split -> what stands in its paths, where both patterns say SPLIT; more: as for `Part`."""
    return tuple(
        Part(split, degraded.replace("SPLIT", name), clean.replace("SPLIT", name), **more)
        for split, name in names.items()
    )


def _istd(clean: str) -> tuple[Part, ...]:
    return _splits(r"SPLIT/SPLIT_A/(?P<key>(?P<scene>\d+)-\d+)", rf"SPLIT/SPLIT_{clean}/(?P<key>\d+-\d+)")


def _div2k(scale: int) -> tuple[Part, ...]:
    degraded = rf"DIV2K_SPLIT_LR_bicubic/X{scale}/(?P<key>\d{{4}})x{scale}"
    return _splits(degraded, r"DIV2K_SPLIT_HR/(?P<key>\d{4})", {"train": "train", "test": "valid"}, enlarge=True)


def _rain100(split: str, outer: str) -> tuple[Part, ...]:
    clean = rf"(?P<key0>{outer})(?:/norain)?/norain-(?P<key>\d+)"
    return (
        Part(split, rf"(?P<key0>{outer})/(?:rainy|rain|rain/X2)/(?:no)?rain-(?P<key>\d+)(?:x2)?", clean),
        Part(split, rf"(?P<key0>{outer})/rain-(?P<key>\d+)", clean),
    )


_SIDD = r"Data/(?P<key>\d{4}_(?P<scene>\d{3})_[^/]+)/(?:\d{4}_)?%s_SRGB_(?P<key2>\d+)"
_SOTS = r"SOTS/(?P<key0>indoor|outdoor)/(?:nyuhaze500/)?"

LAYOUTS: tuple[Layout, ...] = (
    Layout("ISTD", "Wang et al., CVPR 2018", _istd("C")),
    Layout("ISTD+", "Le and Samaras, ICCV 2019 (colour-adjusted targets)", _istd("C_fixed_official")),
    Layout("SRD", "Qu et al., CVPR 2017", _splits(
        r"(?i:SPLIT)/shadow/(?P<key>[^/]+)", r"(?i:SPLIT)/shadow_free/(?P<key>[^/]+?)(?:_no_shadow|_free)?",
    )),
    # The authors name images 36 to 40 validation and 41 to 45 test; both are kept from training.
    Layout("O-HAZE", "Ancuti et al., CVPRW 2018", (
        Part("train", r"hazy/(?P<key>[0-2]\d|3[0-5])_outdoor_hazy", r"GT/(?P<key>\d\d)_outdoor_GT"),
        Part("test", r"hazy/(?P<key>3[6-9]|4\d)_outdoor_hazy", r"GT/(?P<key>\d\d)_outdoor_GT"),
    )),
    Layout("I-HAZE", "Ancuti et al., ACIVS 2018", (
        Part("train", r"hazy/(?P<key>[01]\d|2[0-5])_indoor_hazy", r"GT/(?P<key>\d\d)_indoor_GT"),
        Part("test", r"hazy/(?P<key>2[6-9]|3\d)_indoor_hazy", r"GT/(?P<key>\d\d)_indoor_GT"),
    )),
    # Frames come from VisDrone; the first number is the sequence.
    Layout("HazyDet", "Feng et al., 2024", _splits(
        r"SPLIT/hazy_images/(?P<key>(?P<scene>[^/_]+)[^/]*)", r"SPLIT/(?:clean|clear)_images/(?P<key>[^/]+)",
        {"train": "train", "validation": "val", "test": "test"},
    )),
    Layout("REVIDE", "Zhang et al., CVPR 2021", _splits(
        r"(?i:SPLIT)/hazy/(?P<key>(?P<scene>[^/]+)/\d+)", r"(?i:SPLIT)/gt/(?P<key>[^/]+/\d+)",
    )),
    Layout("RESIDE", "Li et al., TIP 2019", (
        Part("train", r"ITS(?:_v2)?/hazy/(?P<key>\d+)_\d+_[\d.]+", r"ITS(?:_v2)?/clear/(?P<key>\d+)", many=True),
        Part("train", r"OTS/hazy/(?P<key>\d+)_[\d.]+_[\d.]+", r"OTS/clear/(?P<key>\d+)", many=True),
        Part("test", _SOTS + r"hazy/(?P<key>\d+)(?:_[\d.]+){1,2}", _SOTS + r"(?:gt|clear)/(?P<key>\d+)", many=True),
    )),
    Layout("LOL v1", "Wei et al., BMVC 2018", _splits(
        r"SPLIT/low/(?P<key>\d+)", r"SPLIT/high/(?P<key>\d+)", {"train": "our485", "test": "eval15"},
    )),
    Layout("LOL v2", "Yang et al., TIP 2021", _splits(
        r"(?P<key0>Real_captured|Synthetic)/(?i:SPLIT)/Low/(?:low)?(?P<key>[^/]+)",
        r"(?P<key0>Real_captured|Synthetic)/(?i:SPLIT)/Normal/(?:normal)?(?P<key>[^/]+)",
    )),
    Layout("RainDrop", "Qian et al., CVPR 2018", _splits(
        r"(?P<key0>SPLIT)/data/(?P<key>\d+)_rain", r"(?P<key0>SPLIT)/gt/(?P<key>\d+)_clean", {"train": "train", "test": "test_[ab]"},
    )),
    # Heavy and light; the rainy side may lie in rain, rain/X2 or rainy, be called norain-1x2, or lie beside the clean one.
    Layout("Rain100", "Yang et al., CVPR 2017", (
        *_rain100("train", r"rain_data_train_\w+|RainTrain[HL]"), *_rain100("test", r"rain_data_test_\w+|Rain100[HL]"),
    )),
    Layout("GoPro", "Nah et al., CVPR 2017", _splits(
        r"SPLIT/(?P<key>(?P<scene>GOPR[^/]+))/blur/(?P<key2>\d+)", r"SPLIT/(?P<key>GOPR[^/]+)/sharp/(?P<key2>\d+)",
    )),
    Layout("SIDD", "Abdelhamed et al., CVPR 2018", (Part("train", _SIDD % "NOISY", _SIDD % "GT"),)),
    # Version 3 stores the degraded side smaller, versions 1 and 2 at the size of the clean one.
    Layout("RealSR", "Cai et al., ICCV 2019", _splits(
        r"(?P<key0>Canon|Nikon)/SPLIT/(?P<key1>\d)/(?P<key>\w+_\d+)_LR\d", r"(?P<key0>Canon|Nikon)/SPLIT/(?P<key1>\d)/(?P<key>\w+_\d+)_HR",
        {"train": "Train", "test": "Test"}, enlarge=True,
    )),
    *(Layout(f"DIV2K x{scale}", "Agustsson and Timofte, CVPRW 2017", _div2k(scale)) for scale in (2, 3, 4, 8)),
    Layout("DIV2K", "Agustsson and Timofte, CVPRW 2017 (clean photographs)", (
        Part("train", None, r"DIV2K_train_HR/(?P<key>\d{4})"), Part("test", None, r"DIV2K_valid_HR/(?P<key>\d{4})"),
    )),
    Layout("LSDIR", "Li et al., CVPRW 2023 (clean photographs)", (
        Part("train", None, r"(?:HR/)?train/(?P<key>\d{7}/\d{7})"), Part("test", None, r"HR/val/(?P<key>[^/]+)"),
    )),
    Layout("Kodak24", "Eastman Kodak (clean photographs, a test set)", (Part("test", None, r"(?P<key>kodim\d\d)"),)),
    Layout("CBSD68", "Martin et al., ICCV 2001 (a test set)", (
        Part("test", None, r"(?:CBSD68|original(?:_png)?)/(?P<key>\d+)"),
        Part("test", r"(?P<noise>noisy\d+)/(?P<key>\d{4})", r"original(?:_png)?/(?P<key>\d{4})", many=True),
    )),
    Layout("FaceShadow", "written by `unveil data faceshadow`", _splits(
        r"SPLIT/degraded/(?P<key>(?P<scene>[^/]+)_\d+)", r"SPLIT/clean/(?P<key>[^/]+)", {"train": "train", "validation": "validation"},
    )),
)  # fmt: skip


def names() -> list[str]:
    """The benchmarks known by layout."""
    return [layout.name for layout in LAYOUTS]


@dataclass(frozen=True)
class Found:
    """One split of a benchmark as it lies on this disk. photographs: for a set of clean photographs, else empty."""

    layout: Layout
    part: Part
    match: Match
    photographs: list[Path]

    def scene(self, path: Path, root: Path) -> str:
        """The scene of a degraded (or only) file, "" where the benchmark has none."""
        regex = re.compile(rf"(?:.*/)?{self.part.degraded or self.part.clean}")
        found = regex.fullmatch(relative(path, root))
        return "" if found is None else found.groupdict().get("scene") or ""


def _look(root: Path, paths: list[Path], layout: Layout, split: str) -> list[Found]:
    found: list[Found] = []
    for part in (p for p in layout.parts if p.split == split):
        clean = by_key(paths, root, re.compile(f"(?:.*/)?{part.clean}"))
        if part.degraded is None:
            if clean:
                found.append(Found(layout, part, Match([], []), [p for v in clean.values() for p in v]))
            continue
        degraded = by_key(paths, root, re.compile(f"(?:.*/)?{part.degraded}"))
        if degraded and clean:
            found.append(Found(layout, part, match(degraded, clean, many=part.many, spare=part.spare), []))
    return found


def present(folder: Path, split: str) -> list[Found]:
    """Every known benchmark whose `split` lies in `folder` (itself or any level below); none is no error."""
    folder = Path(folder).resolve()
    paths = images_in(folder)
    return [found for layout in LAYOUTS for found in _look(folder.parent, paths, layout, split)]


def recognise(folder: Path, name: str = "auto", split: str = "train") -> list[Found]:
    """The parts of a benchmark's `split` that lie in `folder` (itself or any level below).

    name: one of `names()`, or "auto" to try all that come as pairs, then those of clean photographs. Raises InputError when
    nothing fits, when several fit (naming them), or for an unknown name.
    """
    folder = Path(folder).resolve()
    # The benchmark's own folder may carry part of the pattern (Rain100H/rainy/...), so names start one level above.
    paths, root = images_in(folder), folder.parent
    if name != "auto":
        chosen = [layout for layout in LAYOUTS if layout.name.lower() == name.lower()]
        if not chosen:
            raise InputError(f"no benchmark layout is called {name!r}; known are {', '.join(names())}")
        found = _look(root, paths, chosen[0], split)
        if not found:
            raise InputError(f"{folder}: no {split} split of {chosen[0].name} is found here ({_seen(paths, root)})")
        return found
    tried = [(layout, _look(root, paths, layout, split)) for layout in LAYOUTS]
    for kind in (True, False):
        fitting = [f for _, f in tried if f and (f[0].part.degraded is not None) is kind]
        if len(fitting) > 1:
            raise InputError(
                f"{folder}: may be {' or '.join(f[0].layout.name for f in fitting)}; say which with layout"
            )
        if fitting:
            return fitting[0]
    raise InputError(
        f"{folder}: not the {split} split of a benchmark known by its folders ({', '.join(names())}); {_seen(paths, root)}"
    )


def _seen(paths: list[Path], root: Path) -> str:
    return f"it holds {len(paths)} images such as {paths[0].relative_to(root)}"
