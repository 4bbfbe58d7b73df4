"""kill -9 at random moments: no partial output, and running again ends with what an uninterrupted run gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# One process imports torch and then forks a fresh run for every kill, because importing takes longer than the run itself.
SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
import unveil.restorer, unveil.jobs.batch, unveil.photo, unveil.cli.restore, unveil.cli.progress
from unveil.cli import main
root, model, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
draw = random.Random(0)

def start(out):
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        status = main(["restore", str(root / "in"), "--recursive", "-o", str(root / out), "-n", model, "--device", "cpu",
                       "--compare", "--skip-existing", "--manifest", str(root / f"{out}.jsonl")])
        os._exit(status)
    return child

def files(out):
    return {str(p.relative_to(root / out)): p.read_bytes() for p in sorted((root / out).rglob("*")) if p.is_file()}

def rows(out):
    lines = (root / f"{out}.jsonl").read_bytes().split(b"\\n") if (root / f"{out}.jsonl").exists() else [b""]
    return [json.loads(line) for line in lines[:-1]]

assert os.waitpid(start("whole"), 0)[1] == 0
seconds = 1.0
whole, inputs = files("whole"), {r["input"] for r in rows("whole")}
found = []
landed = 0
while landed < kills:
    child = start("out")
    time.sleep(draw.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    code = os.waitpid(child, 0)[1]
    # A run that had ended already is checked too, but does not count; the next kill comes sooner.
    landed += code == signal.SIGKILL
    seconds *= 1.1 if code == signal.SIGKILL else 0.8
    left = files("out") if (root / "out").exists() else {}
    done = {k: v for k, v in left.items() if not k.split("/")[-1].startswith(".")}
    wrong = [k for k, v in done.items() if whole.get(k) != v]
    rows("out")
    again = os.waitstatus_to_exitcode(os.waitpid(start("out"), 0)[1])
    found.append({"signal": code, "done": len(done), "temporary": len(left) - len(done), "wrong": wrong, "again": again,
                  "equal": files("out") == whole, "rows": {r["input"] for r in rows("out")} == inputs})
    shutil.rmtree(root / "out")
    (root / "out.jsonl").unlink()
print(json.dumps({"seconds": seconds, "files": len(whole), "kills": found}))
"""


def killed(tmp_path: Path, model_file: Path, kills: int, files: int = 5) -> list[dict]:
    for i in range(files):
        folder = tmp_path / "in" / ("deep" if i % 2 else ".")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (80, 96, 3), dtype=np.uint8)).save(
            folder / f"{i}.png"
        )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(model_file), str(kills)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["files"] == 2 * files
    for trial in result["kills"]:
        assert trial["wrong"] == []
        assert (trial["again"], trial["equal"], trial["rows"]) == (0, True, True)
    return result["kills"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_three_kills(tmp_path: Path, model_file: Path) -> None:
    assert len(killed(tmp_path, model_file, 3, files=3)) >= 3


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills(tmp_path: Path, model_file: Path) -> None:
    trials = killed(tmp_path, model_file, 50)
    assert sum(trial["signal"] == 9 for trial in trials) == 50
    assert len({trial["done"] for trial in trials}) > 3, "the kills did not fall at different moments"
