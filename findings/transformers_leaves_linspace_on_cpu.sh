#!/bin/sh
# Guess: after a model of transformers was loaded, torch.device("meta") still makes every factory of torch allocate nothing.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 numpy==2.4.6 transformers==5.24.0
look <<'PY'
import subprocess, sys, tempfile

print("most would guess: torch.linspace under torch.device('meta') is on meta, whatever was loaded before")
CODE = """
import sys, torch, transformers
config = transformers.CLIPTextConfig(vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
folder = sys.argv[2]
transformers.CLIPTextModel(config).save_pretrained(folder)
if sys.argv[1] == "loaded":
    transformers.CLIPTextModel.from_pretrained(folder)
with torch.device("meta"):
    print(torch.__version__, transformers.__version__, torch.linspace(0, 1, 3).device, torch.arange(3).device)
"""
seen = {}
for what in ("not", "loaded"):
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run([sys.executable, "-c", CODE, what, folder], capture_output=True, text=True)
    line = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr[-500:]
    seen[what] = line.split()[2:]
    print(f"seen: from_pretrained {'called before' if what == 'loaded' else 'not called'}: {line} (versions, linspace, arange)")
print("from_pretrained replaces torch.linspace for a while; torch lists its factories once, at the first use of a device context, and keeps the replacement")
raise SystemExit(not (seen["not"] == ["meta", "meta"] and seen["loaded"] == ["cpu", "meta"]))
PY
