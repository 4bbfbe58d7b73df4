"""What each kind of stage minimises. Every objective takes a batch and returns a loss whose gradient it has already taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unveil.diffusion.correction import shift_target
from unveil.diffusion.matching import matching_loss
from unveil.diffusion.process import Process
from unveil.diffusion.resolution import Resolution, resize
from unveil.diffusion.sampling import sample
from unveil.networks.compact import CompactUNet, CorrectionHead
from unveil.training.batches import Batch
from unveil.training.config import Stage
from unveil.training.states import forward_states, grid_states, grid_weight, normal, weight


@dataclass
class Learner:
    """The networks being trained and the paths they are trained on (the first is the paper's grid, the rest alternatives).

    free: whether states may lie between the steps of the grid, as on residual paths. fidelity: the default of the model that
    training began from, which its correction keeps.
    """

    predictor: CompactUNet
    head: CorrectionHead
    processes: list[Process]
    autocast: Callable[[], torch.autocast]
    free: bool = True
    fidelity: float = 0.0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The two networks by the names they have in checkpoints."""
        return {"predictor": self.predictor, "head": self.head}

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.predictor.parameters()).device

    def trained(self, stage: Stage) -> str:
        """Which of the two a stage trains; the other is frozen."""
        return "head" if stage.kind in ("correction", "adapter") else "predictor"


Objective = Callable[[Learner, Batch, Stage, torch.Generator], float]


def balance(batch: Batch, stage: Stage) -> Tensor:
    """(B,) weights of the samples: c / (c + squared error of the input), 1 for a clean one; all ones where c = 0."""
    c = stage.low_balance or stage.balance if batch.low else stage.balance
    if c <= 0:
        return torch.ones(len(batch.y), device=batch.y.device)
    return c / (c + ((batch.y - batch.x0) ** 2).mean((1, 2, 3)))


def predictor(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """Squared error of x0_hat on forward states, weighted by noise level: its minimiser is E[x0 | x_t, y].

    On IR-SDE's path too, where it is the unbiased sibling of `matching`.
    """
    batch = batch.repeated(stage.states)
    if learner.free:
        x_t, level = forward_states(learner.processes[0], batch, stage.switch, stage.start, generator)
        by_level = weight(level)
    else:
        x_t, t = grid_states(learner.processes[0], batch, generator)
        level = _told(learner.processes[0], t, x_t)
        by_level = grid_weight(learner.processes[0], t, x_t)
    with learner.autocast():
        residual = learner.predictor(x_t, batch.y, level)
    error = ((batch.y - residual.float() - batch.x0) ** 2).mean((1, 2, 3))
    loss = (balance(batch, stage) * by_level * error).mean()
    loss.backward()
    return float(loss.detach())


def matching(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """IR-SDE's loss: L1 between the mean of the reverse SDE and where the best step leads (`diffusion.matching`).

    The noise it speaks of is the one that the predicted residual leaves over.
    """
    process = learner.processes[0]
    x_t, t = grid_states(process, batch, generator)
    with learner.autocast():
        residual = learner.predictor(x_t, batch.y, _told(process, t, x_t))
    a, b, s = (process.at(c, t, x_t) for c in (process.a, process.b, process.s))
    eps_hat = (x_t - a * (batch.y - residual.float()) - b * batch.y) / s
    loss = matching_loss(process, t, x_t, batch.y, batch.x0, eps_hat)
    loss.backward()
    return float(loss.detach())


def _told(process: Process, t: Tensor, like: Tensor) -> Tensor:
    """(B,) what the network is told at the indices t."""
    return process.at(process.time, t, like).flatten()


def regression(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """One-shot baseline: the same network sees y alone (the start's state without its noise) and returns x0."""
    process = learner.processes[0]
    level = torch.full((len(batch.y),), float(process.s[-1]), device=batch.y.device)
    with learner.autocast():
        residual = learner.predictor(process.start(batch.y, torch.zeros_like(batch.y)), batch.y, level)
    loss = (balance(batch, stage) * ((batch.y - residual.float() - batch.x0) ** 2).mean((1, 2, 3))).mean()
    loss.backward()
    return float(loss.detach())


def correction(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """DPSC on policy: run the sampler at a random fidelity, and teach the head the predictor's error on the states it meets.

    The predictor is frozen; states are detached, so each step's gradient goes to the head alone. Grid, solver and low
    resolution are drawn at random, so that one head serves every option of the sampler; a fifth of the rollouts is at
    fidelity 1, the end of the dial where nothing is drawn and the head has most to do.
    """

    def pick(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    process = learner.processes[pick(len(learner.processes))]
    fidelity = min(1.0, 1.25 * float(torch.rand((), generator=generator)))
    side = max(batch.y.shape[-2:])
    low = Resolution("coarse_to_fine", low=side // (2 ** (1 + pick(2)))) if pick(2) else Resolution("off")
    f = torch.full((len(batch.y),), fidelity, device=batch.y.device)
    total = 0.0

    def denoise(x_t: Tensor, y: Tensor, t: int) -> Tensor:
        nonlocal total
        level = torch.full((len(y),), float(process.s[t]), device=y.device)
        x0 = resize(batch.x0, (int(y.shape[-2]), int(y.shape[-1])))
        with learner.autocast():
            with torch.no_grad():
                features = learner.predictor.features(x_t, y, level)
                residual = learner.predictor.read(features).float()
            offset = learner.head(features, residual, y, f).float()
        corrected = y - residual - offset
        error = ((corrected - x0) ** 2).mean((1, 2, 3))
        loss = (balance(batch, stage) * weight(level) * error).mean() / process.steps
        loss.backward()
        total += float(loss.detach())
        return corrected.detach().clamp(-1, 1)

    def noise(_: int, like: Tensor) -> Tensor:
        return normal(like, generator)

    solver = ("ancestral", "2m")[pick(2)]
    sample(denoise, batch.y, process, noise, solver=solver, fidelity=fidelity, resolution=low)
    return total


def correction_forward(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """DPSC's other targets (ablation): regress mu on states drawn from the forward path, at fidelity 1."""
    process = learner.processes[0]
    t = 1 + int(torch.randint(process.steps, (), generator=generator))
    eps = normal(batch.x0, generator)
    x_t = process.forward(batch.x0, batch.y, t, eps)
    level = torch.full((len(batch.y),), float(process.s[t]), device=batch.y.device)
    f = torch.ones(len(batch.y), device=batch.y.device)
    with learner.autocast():
        with torch.no_grad():
            features = learner.predictor.features(x_t, batch.y, level)
            residual = learner.predictor.read(features).float()
        offset = learner.head(features, residual, batch.y, f).float()
    target = shift_target(stage.target, process, t, x_t, batch.y, batch.y - residual, batch.x0, eps)
    loss = weight(level)[0] * (balance(batch, stage) * ((offset - target) ** 2).mean((1, 2, 3))).mean()
    loss.backward()
    return float(loss.detach())


def objective(stage: Stage) -> Objective:
    """The function for a stage's kind and target."""
    if stage.kind in ("correction", "adapter"):
        return correction if stage.target == "on_policy" else correction_forward
    return {"predictor": predictor, "regression": regression, "matching": matching}[stage.kind]
