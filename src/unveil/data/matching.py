"""Which degraded file belongs to which clean one: by a stated rule, with everything that does not fit listed at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unveil.errors import InputError

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


def listed(misfits: list[str]) -> str:
    """The count and the first 20, for a message."""
    more = f"; and {len(misfits) - 20} more" if len(misfits) > 20 else ""
    return f"{len(misfits)} misfits: " + "; ".join(misfits[:20]) + more
