"""What each kind of stage minimises. Every objective takes a batch, accumulates the gradient itself (it may need several backward passes),
and returns the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unveil.diffusion.correction import leverage, shift_target
from unveil.diffusion.irsde import matching_loss
from unveil.diffusion.path import GaussianPath, residual_coefficients
from unveil.diffusion.prediction import from_x0
from unveil.diffusion.resolution import Resolution, resize
from unveil.diffusion.sampling import eta, sample, step
from unveil.models.model import bounded, estimated
from unveil.models.path_config import RESIDUAL, name_of
from unveil.models.spec import Spec
from unveil.networks.compact import BORDER, TimestepExperts
from unveil.networks.predictor import Answer, Features, Predictor
from unveil.training.batches import Batch
from unveil.training.guide import Guide
from unveil.training.noising import (
    after_switch,
    forward_states,
    grid_states,
    grid_weight,
    normal,
    residual_noise_weight,
    sampled_conditions,
    weight,
)
from unveil.training.settings import Stage

LOSSES = ("squared", "l1", "charbonnier", "psnr")

_CHARBONNIER = 1e-3 * 2  # of the range [-1, 1]


def loss(kind: str, error: Tensor, floor: float = 0.0) -> Tensor:
    """Loss (B,) of each sample of a batch of errors (B, C, H, W), x0_hat - x0 on [-1, 1]. Raises ValueError for another kind.

    kind: "squared" (its minimiser is the posterior's mean), "l1" (the median), "charbonnier" (sqrt(e^2 + c^2), between the two), or
    "psnr": half the logarithm of (mean squared error + floor), what the mean PSNR of a test set asks for, so that every sample counts by
    how much it can still gain and not by how damaged it was; below `floor` it no longer counts a gain.
    """
    if kind == "squared":
        return error.square().mean((1, 2, 3))
    if kind == "l1":
        return error.abs().mean((1, 2, 3))
    if kind == "charbonnier":
        return (error.square() + _CHARBONNIER**2).sqrt().mean((1, 2, 3))
    if kind == "psnr":
        return 0.5 * torch.log(error.square().mean((1, 2, 3)) + floor)
    raise ValueError(f"unknown loss {kind!r}; known are {', '.join(LOSSES)}")


@dataclass
class Learner:
    """The networks being trained and the paths they are trained on (the first is the paper's grid, the rest alternatives).

    asks: a description with the predictor's inputs and prediction type. head: its correction, None for none. free: whether states may lie
    between the
    steps of the grid, as on residual paths. fidelity: the default of the model that training began from, which its correction keeps.
    published: the description of a published network that is trained further. guide: the DA-CLIP that conditions the predictor, None for
    none. reduced: the long side to which the model that training began from reduces photographs, 0 for none.
    """

    predictor: Any
    head: nn.Module | None
    processes: list[GaussianPath]
    autocast: Callable[[], torch.autocast]
    asks: Spec
    free: bool = True
    fidelity: float = 0.0
    published: Spec | None = None
    guide: Guide | None = None
    reduced: int = 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by the names they have in checkpoints."""
        if isinstance(self.predictor, TimestepExperts):
            return {"low": self.predictor.low, "native": self.predictor.native}
        return {"predictor": self.predictor} if self.head is None else {"predictor": self.predictor, "head": self.head}

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.predictor.parameters()).device

    @property
    def answers(self) -> bool:
        """Whether the predictor is one of `networks.predictor.Predictor`."""
        return self.asks.residual_at_level and isinstance(self.predictor, Predictor)

    def seen(self, batch: Batch) -> Batch:
        """A batch in the range of the network's images, [-1, 1] of all networks but published ones of IR-SDE's family."""
        low, high = self.asks.value_range
        if (low, high) == (-1.0, 1.0):
            return batch
        return replace(batch, x0=low + (batch.x0 + 1) / 2 * (high - low), y=low + (batch.y + 1) / 2 * (high - low))

    def trained(self, stage: Stage) -> tuple[str, ...]:
        """Which of them a stage trains; the others are frozen."""
        if stage.expert:
            return (stage.expert,)
        if stage.kind == "joint":
            return ("predictor", "head")
        return ("head",) if stage.kind in ("correction", "adapter") else ("predictor",)

    def answer(self, path: GaussianPath, t: Tensor, x_t: Tensor, y: Tensor) -> Answer:
        """x0_hat of states at the indices t (B,) of a grid, for every time input and prediction type."""
        level = at(path.sigma, path, t, x_t)
        if self.answers:
            return self.at_level(x_t, y, level)
        contexts = () if self.guide is None else self.guide.contexts(y, self.asks.value_range)
        out = self.predictor(x_t, y, at(path.timestep, path, t, x_t), *contexts).float()

        def read(i: int, model_output: Tensor, state: Tensor, damaged: Tensor) -> Tensor:
            return estimated(self.asks, path, i, model_output, state, damaged)

        return Answer(x_t, y, level, y - by_index(read, t, out, x_t, y))

    def at_level(self, x_t: Tensor, y: Tensor, level: Tensor) -> Answer:
        """The answer, in fp32, of a predictor that takes the noise level (B,), for states."""
        answer = self.predictor.answer(x_t, y, level)
        return answer._replace(residual=answer.residual.float())

    def offset(self, answer: Answer, fidelity: Tensor) -> Tensor:
        """The correction of an answer (B, 3, H, W), in fp32."""
        assert self.head is not None
        return self.head(answer, fidelity).float()


def by_index(function: Callable[..., Tensor], t: Tensor, *tensors: Tensor) -> Tensor:
    """function(i, *samples) for every index i among t (B,), on the samples (n, ...) that have it, put back in their order."""
    first = tensors[0]
    out: Tensor | None = None
    for i in t.unique().tolist():
        here = (t == i).nonzero().flatten().to(first.device)
        part = function(int(i), *(x[here] for x in tensors))
        out = part.new_zeros(len(first), *part.shape[1:]) if out is None else out
        out = out.index_copy(0, here, part)
    assert out is not None
    return out


def at(table: Tensor, path: GaussianPath, t: Tensor, like: Tensor) -> Tensor:
    """(B,) values of a table of the path at the indices t."""
    return path.at(table, t, like).flatten()


class Objective(Protocol):
    """As `trainer.Objective`; without `common` the batch is the whole of its step."""

    def __call__(
        self,
        learner: Learner,
        batch: Batch,
        stage: Stage,
        generator: torch.Generator,
        common: torch.Generator | None = None,
        /,
    ) -> float: ...


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
    path = learner.processes[0]
    if learner.free and stage.error == "x0":
        x_t, level = forward_states(path, batch, stage.switch, stage.start, generator)
        by_level = weight(level)
        with learner.autocast():
            residual = learner.at_level(x_t, batch.y, level).residual
    else:
        x_t, t = grid_states(path, batch, generator)
        by_level = _by_level(learner, path, t, stage, x_t)
        with learner.autocast():
            residual = learner.answer(path, t, x_t, batch.y).residual
    error = loss(stage.loss, batch.y - residual - batch.x0, stage.floor)
    total = (balance(batch, stage) * by_level * error).mean()
    total.backward()
    return float(total.detach())


def _by_level(learner: Learner, path: GaussianPath, t: Tensor, stage: Stage, like: Tensor) -> Tensor:
    if stage.error == "residual_noise" or stage.kind == "joint":
        return residual_noise_weight(path, t, like)
    if name_of(learner.asks.schedule) in RESIDUAL:
        return weight(at(path.sigma, path, t, like))
    return grid_weight(path, t, like, learner.asks.value_range)


def joint(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """LearnIR's Algorithm 1, lines 10 and 11: |e_res - e_theta|^2 + |mu - mu_theta|^2, predictor and correction in one step.

    The correction is a shift of x0_hat; times the leverage of the step it is mu (`diffusion.correction`). No gradient flows through its
    target, so that the second term does not train the predictor.
    """
    path = learner.processes[0]
    x_t, t = grid_states(path, batch, generator)
    eps = by_index(lambda i, x, y, x0: from_x0("epsilon", path, i, x0, x, y), t, x_t, batch.y, batch.x0)
    with learner.autocast():
        answer = learner.answer(path, t, x_t, batch.y)
        seen = frozen(answer)
        offset = learner.offset(seen, torch.ones(len(batch.y), device=batch.y.device))

    def target_of(i: int, x: Tensor, y: Tensor, x0_hat: Tensor, x0: Tensor, noise: Tensor) -> Tensor:
        return shift_target(stage.target, path, i, x, y, x0_hat, x0, noise)

    target = by_index(target_of, t, x_t, batch.y, batch.y - seen.residual, batch.x0, eps)
    c = torch.tensor([leverage(path, i, i - 1, path.ancestral(i, i - 1)) for i in t.tolist()]).to(x_t)
    error = loss(stage.loss, batch.y - answer.residual - batch.x0, stage.floor)
    missed = c**2 * ((offset - target) ** 2).mean((1, 2, 3))
    total = (balance(batch, stage) * (residual_noise_weight(path, t, x_t) * error + missed)).mean()
    total.backward()
    return float(total.detach())


def frozen(answer: Answer) -> Answer:
    """The same answer, detached."""
    features = answer.features
    if features is not None:
        features = Features(tuple(f.detach() for f in features.levels), features.embedding.detach())
    return answer._replace(residual=answer.residual.detach(), features=features)


_EVALUATIONS = (5, 10)
"""Of a rollout through one network's whole path, usually and in a quarter of the steps: a short run meets states of all noise levels."""


def rollout(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator, common: torch.Generator) -> float:
    """A network conditioned on a random fidelity, trained on the states that the sampler itself visits: DPSC without a network of its own.

    A share `forward` of the steps is spent on the forward path at fidelity 0, where the expert is the posterior's predictor. The others
    run the sampler through the expert's own noise levels (all of them, where there is one network), a share `first` of them through the
    first alone, with all noise scaled by 1 - f,
    and teach x0 at every state: what the correction of LearnIR subtracts is then the difference between the expert at fidelity f and at
    fidelity 0.
    The low stage's word on the light comes to the native expert as that stage would give it, wrong by some of its own size, and its
    target keeps the light it was given: it decides detail.

    Path, fidelity and the number of evaluations are drawn from `common`, for all parts of a step alike: no process waits for another.
    """

    def chance() -> float:
        return float(torch.rand((), generator=common))

    usual = chance() < 0.75
    on_path = chance() < stage.forward
    fidelity = 0.0 if on_path else min(1.0, chance() / max(1 - stage.quiet, 1e-9))
    if stage.expert:
        path = learner.processes[0 if usual else -1]
        indices = [t for t in range(path.steps, 0, -1) if (float(path.sigma[t]) >= BORDER) == (stage.expert == "low")]
    else:
        path = learner.processes[0].respaced(min(learner.processes[0].steps, _EVALUATIONS[not usual]))
        indices = list(range(path.steps, 0, -1))
    if stage.first and not on_path and chance() < stage.first:
        indices = indices[:1]
    expert = learner.modules[stage.expert or "predictor"]
    context = sampled_conditions(batch.kinds, stage.told, fidelity, generator).to(batch.y.device)
    x0 = batch.x0
    given = batch.y
    if stage.expert == "native":
        x0, given = after_switch(batch, generator)

    def evaluate(x_t: Tensor, level: Tensor) -> tuple[Tensor, float]:
        with learner.autocast():
            residual = expert(x_t, batch.y, level, context)
        x0_hat = batch.y - residual.float()
        error = loss(stage.loss, x0_hat - x0, stage.floor)
        total = (balance(batch, stage) * error).mean() / (1 if on_path else len(indices))
        total.backward()
        return x0_hat.detach().clamp(-1, 1), float(total.detach())

    def same(value: float) -> Tensor:
        return torch.full((len(batch.y),), value, device=batch.y.device)

    if on_path and not stage.expert:
        x_t, at_index = grid_states(learner.processes[0], batch, generator)
        return evaluate(x_t, at(learner.processes[0].timestep, learner.processes[0], at_index, x_t))[1]
    if on_path:
        low, high = float(path.sigma[indices[-1]]), float(path.sigma[indices[0]])
        even, between = (torch.rand(len(x0), generator=generator) for _ in range(2))
        s = torch.where(even < 0.5, low + (high - low) * between, torch.tensor(high))
        a, b, s = (c[:, None, None, None].to(x0.device) for c in residual_coefficients((1 - s**2).sqrt()))
        first = (s >= high - 1e-4) if stage.expert == "native" else torch.zeros_like(s, dtype=torch.bool)
        x_t = a * torch.where(first, given, x0) + b * batch.y + s * normal(x0, generator)
        return evaluate(x_t, s.flatten())[1]
    t = indices[0]
    a, b, s = (float(c[t]) for c in (path.alpha, path.beta, path.sigma))
    x = a * given + b * batch.y + (1 - fidelity) * s * normal(x0, generator)
    total = 0.0
    for t, u in zip(indices, [*indices[1:], 0], strict=True):
        x0_hat, value = evaluate(x, same(float(path.sigma[t])))
        total += value
        if u:
            amount = eta(path, "ancestral", t, u)
            x = step(path, t, u, x, x0_hat, batch.y, amount, (1 - fidelity) * normal(x0, generator))
    return total


def matching(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """IR-SDE's loss: L1 between the mean of the reverse SDE and where the best step leads (`diffusion.matching`).

    The noise prediction is the one that the predicted residual implies.
    """
    path = learner.processes[0]
    x_t, t = grid_states(path, batch, generator)
    with learner.autocast():
        residual = learner.answer(path, t, x_t, batch.y).residual
    a, b, s = (path.at(c, t, x_t) for c in (path.alpha, path.beta, path.sigma))
    eps_hat = (x_t - a * (batch.y - residual) - b * batch.y) / s
    total = matching_loss(path, t, x_t, batch.y, batch.x0, eps_hat)
    total.backward()
    return float(total.detach())


def regression(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """One-shot baseline: the same network sees y alone (the start's state without its noise) and returns x0."""
    path = learner.processes[0]
    last = torch.full((len(batch.y),), path.steps)
    with learner.autocast():
        residual = learner.answer(path, last, path.start(batch.y, torch.zeros_like(batch.y)), batch.y).residual
    error = loss(stage.loss, batch.y - residual - batch.x0, stage.floor)
    total = (balance(batch, stage) * error).mean()
    total.backward()
    return float(total.detach())


def correction(
    learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator, common: torch.Generator
) -> float:
    """DPSC on policy: run the sampler at a random fidelity, and train the head on the predictor's error at the states visited.

    The predictor is frozen; states are detached, so each step's gradient goes to the head alone. Grid, solver and low
    resolution are drawn at random, so that one head serves every option of the sampler; a fifth of the rollouts is at fidelity 1, where no
    noise is drawn and the correction is largest. They are drawn from `common`, as in `rollout`.
    """

    def pick(n: int) -> int:
        return int(torch.randint(n, (), generator=common))

    path = learner.processes[pick(len(learner.processes))]
    fidelity = min(1.0, 1.25 * float(torch.rand((), generator=common)))
    side = max(batch.y.shape[-2:])
    low = Resolution("coarse_to_fine", low=side // (2 ** (1 + pick(2)))) if pick(2) else Resolution("off")
    f = torch.full((len(batch.y),), fidelity, device=batch.y.device)
    total = 0.0

    def denoise(x_t: Tensor, y: Tensor, t: int) -> Tensor:
        nonlocal total
        level = torch.full((len(y),), float(path.sigma[t]), device=y.device)
        x0 = resize(batch.x0, (int(y.shape[-2]), int(y.shape[-1])))
        with learner.autocast():
            with torch.no_grad():
                answer = learner.answer(path, torch.full((len(y),), t), x_t, y)
            if not learner.answers:  # as the sampler does before the correction
                answer = answer._replace(residual=y - bounded(learner.asks, y - answer.residual))
            offset = learner.offset(answer, f)
        corrected = y - answer.residual - offset
        error = ((corrected - x0) ** 2).mean((1, 2, 3))
        share = (balance(batch, stage) * weight(level) * error).mean() / path.steps
        share.backward()
        total += float(share.detach())
        corrected = corrected.detach()
        return corrected.clamp(-1, 1) if learner.answers else bounded(learner.asks, corrected)

    def noise(_: int, like: Tensor) -> Tensor:
        return normal(like, generator)

    solver = ("ancestral", "2m")[pick(2)]
    if learner.published is not None:  # such a network is run as its authors do
        solver, low = learner.published.defaults.solver, Resolution("off")
    sample(denoise, batch.y, path, noise, solver=solver, fidelity=fidelity, resolution=low)
    return total


def correction_forward(learner: Learner, batch: Batch, stage: Stage, generator: torch.Generator) -> float:
    """DPSC's other targets (ablation): regress mu on states drawn from the forward path, at fidelity 1."""
    path = learner.processes[0]
    t = 1 + int(torch.randint(path.steps, (), generator=generator))
    eps = normal(batch.x0, generator)
    x_t = path.forward(batch.x0, batch.y, t, eps)
    level = torch.full((len(batch.y),), float(path.sigma[t]), device=batch.y.device)
    f = torch.ones(len(batch.y), device=batch.y.device)
    with learner.autocast():
        with torch.no_grad():
            answer = learner.answer(path, torch.full((len(batch.y),), t), x_t, batch.y)
        offset = learner.offset(answer, f)
    target = shift_target(stage.target, path, t, x_t, batch.y, batch.y - answer.residual, batch.x0, eps)
    total = weight(level)[0] * (balance(batch, stage) * ((offset - target) ** 2).mean((1, 2, 3))).mean()
    total.backward()
    return float(total.detach())


def objective(stage: Stage) -> Objective:
    """The function for a stage's kind and target. It takes batches in [-1, 1], whatever range the network's images have."""
    chosen: Callable[..., float]
    if stage.kind in ("correction", "adapter"):
        chosen = correction if stage.target == "on_policy" else correction_forward
    else:
        chosen = {
            "predictor": predictor, "joint": joint, "regression": regression, "matching": matching, "rollout": rollout,
        }[stage.kind]  # fmt: skip

    def goal(
        learner: Learner,
        batch: Batch,
        stage: Stage,
        generator: torch.Generator,
        common: torch.Generator | None = None,
        /,
    ) -> float:
        shared = (common or generator,) if chosen in (rollout, correction) else ()
        return chosen(learner, learner.seen(batch), stage, generator, *shared)

    return goal
