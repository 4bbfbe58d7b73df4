"""What eyes say that do not know which is which: real photographs before and after, shuffled, and the count of their words.

    python -m benchmarks blind sheets OUT
    python -m benchmarks blind count OUT --json benchmarks/results/blind.json

`sheets` restores them all and writes OUT/001.png and so on, A left and B right, and the key to OUT/key.json. Whoever looks writes
OUT/eye_1.json, OUT/eye_2.json, ...: {"001": "A", "002": "same", ...}, which side looks better, and may not see the key. A photograph that
comes back bit for bit as it was is "same" without being looked at.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._pages import Facts
from benchmarks._shared import environment, read_json, shared_folder, table, write_json
from unveil import figures, photo
from unveil.restorer import load

SETS = ("DiffBIR_real47", "LIME_subset", "RealSRSet", "hazy_aodnet", "lowlight_sci", "old_photos")
SIDE, SEED = 620, 5
WORDS = ("better", "same", "worse")


def sheets(folder: Path) -> None:
    """Restore every photograph as `unveil restore` does, and write the sheets and the key."""
    folder.mkdir(parents=True, exist_ok=True)
    restorer, generator = load("general", "cpu"), np.random.default_rng(SEED)
    root, key = shared_folder() / "data" / "real", {}
    files = [p for name in SETS for p in sorted((root / name).iterdir())]
    for number, at in enumerate(generator.permutation(len(files)), start=1):
        source = photo.read(files[at])
        out = restorer.restore(source)
        after_first = bool(generator.integers(2))
        unchanged = np.array_equal(out.image, source.pixels)
        key[f"{number:03}"] = {
            "photograph": files[at].relative_to(root).as_posix(),
            "after": "A" if after_first else "B",
            "unchanged": unchanged,
            "found": {k: p for k, p in out.protocol["told"].items() if p > 0},
        }
        if unchanged:
            continue
        pair = [out.image, source.pixels] if after_first else [source.pixels, out.image]
        shown = [Image.fromarray(np.rint(np.clip(a, 0, 1) * 255).astype(np.uint8)) for a in pair]
        times = max(1, SIDE // max(shown[0].size))  # as one looks at a small picture on a screen
        shown = [
            picture.resize((picture.width * times, picture.height * times), Image.Resampling.BICUBIC)
            for picture in shown
        ]
        for picture in shown:
            picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet = figures.side_by_side([np.asarray(p, np.float32) / 255 for p in shown], ["A", "B"])
        sheet.save(folder / f"{number:03}.png")
        print(f"{number} of {len(files)}", flush=True)
    (folder / "key.json").write_text(json.dumps({"sha256": restorer.model.sha256, "photographs": key}, indent=1))


def count(folder: Path) -> dict[str, Any]:
    """The words of every pair of eyes, turned by the key into better, same and worse."""
    kept = read_json(folder / "key.json")
    key = kept["photographs"]
    eyes = []
    for path in sorted(folder.glob("eye_*.json")):
        said = read_json(path)
        missing = [n for n, entry in key.items() if not entry["unchanged"] and said.get(n) not in ("A", "B", "same")]
        if missing:
            raise SystemExit(f"blind: {path} has no word for {', '.join(missing)}; A, B or same")
        words = {}
        for n, entry in key.items():
            same = entry["unchanged"] or said[n] == "same"
            words[entry["photograph"]] = "same" if same else "better" if said[n] == entry["after"] else "worse"
        eyes.append(words)
    if not eyes:
        raise SystemExit(f"blind: no eye_*.json in {folder}")
    unchanged = sorted(entry["photograph"] for entry in key.values() if entry["unchanged"])
    return {"protocol": {**environment(), "sha256": kept["sha256"], "seed": SEED}, "eyes": eyes, "unchanged": unchanged}


def facts(result: dict[str, Any]) -> Facts:
    """A table by set; better, same, worse: shares of all words in per cent; photographs, eyes, unchanged: how many."""
    eyes = result["eyes"]

    def shares(of: str) -> tuple[int, list[float]]:
        """How many words there are of photographs whose names begin so, and the share of each word in per cent."""
        words = Counter(word for eye in eyes for photograph, word in eye.items() if photograph.startswith(of))
        return words.total(), [100 * words[word] / max(1, words.total()) for word in WORDS]

    rows = []
    for name in SETS:
        total, found = shares(f"{name}/")
        rows += [[name, str(total // len(eyes)), *(f"{share:.0f} %" for share in found)]] if total else []
    made = Facts(table=table(["photographs", "n", *WORDS], rows))
    for word, share in zip(WORDS, shares("")[1], strict=True):
        made.put(word, share, 0)
    agreed = {p: word for p, word in eyes[0].items() if all(eye[p] == word for eye in eyes)}
    made.put("agree", 100 * len(agreed) / len(eyes[0]), 0)
    made["worse.names"] = ", ".join(sorted(p for p, word in agreed.items() if word == "worse")) or "none"
    counts = {"photographs": eyes[0], "eyes": eyes, "unchanged": result["unchanged"]}
    return made | Facts({name: str(len(counted)) for name, counted in counts.items()})


OPTIONS = {"what": {"choices": ("sheets", "count")}, "folder": {"type": Path}}


def main(given: Namespace) -> None:
    if given.what == "sheets":
        sheets(given.folder)
        return
    result = count(given.folder)
    write_json(given.json, result)
    print("\n".join(f"{k}: {v}" for k, v in facts(result).items()))
