#!/bin/sh
# Guess: torch.optim.Muon moves float64 weights with float64 arithmetic, as every other optimiser of torch does.
. "$(dirname "$0")/_room.sh"
room torch==2.13.0 numpy==2.4.6
look <<'PY'
import time, torch

def moved(dtype):
    weight = torch.nn.Parameter(torch.zeros(192, 1728, dtype=dtype))
    optimiser = torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, momentum=0.0)
    weight.grad = torch.randn(192, 1728, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    start = time.perf_counter()
    optimiser.step()
    return -weight.detach(), weight.grad.double(), time.perf_counter() - start

def exact(x, a=3.4445, b=-4.775, c=2.0315):
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x

print(f"torch {torch.__version__}")
print("most would guess: float64 weights move by what float64 gives, to 1e-12 or so")
errors, coarse = [], []
for dtype in (torch.float64, torch.float32):
    step, gradient, seconds = moved(dtype)
    errors.append(float((step.double() - exact(gradient)).norm() / exact(gradient).norm()))
    coarse.append(torch.equal(step, step.bfloat16().to(dtype)))
    print(f"seen: {dtype}: relative error {errors[-1]:.1e}, every value a bf16 number: {coarse[-1]}; {seconds:.2f} s for one matrix")
start = time.perf_counter()
exact(gradient.float())
print(f"the same in float32: {time.perf_counter() - start:.3f} s; a processor without bf16 instructions spends many times that on emulating them")
raise SystemExit(not (min(errors) > 1e-3 and all(coarse)))
PY
