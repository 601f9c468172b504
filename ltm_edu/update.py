"""An update of the weights: the loss of a batch, its gradient, a step of the optimizer."""

from __future__ import annotations

import math
from dataclasses import replace
from inspect import signature

import torch
from torch import Tensor, nn

from .batches import BatchTensors, to_device
from .datasets.voc_layout import VOID
from .losses import LossWeights, ltm_loss
from .model import LTM
from .parallel import summed, world
from .settings import DTYPES, TrainingConfig

# Every process has the same buffers. What says so has another name from torch 2.15 on.
_DDP = signature(nn.parallel.DistributedDataParallel).parameters
_APART = {"forward_sync_buffers" if "forward_sync_buffers" in _DDP else "broadcast_buffers": False}


class _Loss(nn.Module):
    """A batch's loss as a forward: what DistributedDataParallel and torch.compile take hold of."""

    def __init__(self, model: LTM, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, batch: BatchTensors) -> tuple[Tensor, dict[str, Tensor]]:
        """L and its terms, weighted so that their mean over the processes is the whole batch's."""
        rows = self.model.transformation.mask_rows
        output = self.model.forward_features(batch.F_q, batch.F_s, batch.G_s, batch.Y.shape[-2:])
        weights = self.config.losses
        if world() > 1:
            weights = replace(weights, **_shares(batch.Y, weights))
        with torch.autocast(batch.Y.device.type, enabled=False):
            return ltm_loss(output, batch.Y, rows(batch.G_q), weights)


def _shares(Y: Tensor, weights: LossWeights) -> dict[str, Tensor | float]:
    """The lambdas of one process's part: L_m and L_a are means over the pixels that count."""
    if weights.reduction == "sum":
        return {k: world() * getattr(weights, k) for k in ("lambda_m", "lambda_a", "lambda_r")}
    own = (Y != VOID).sum().float()
    share = world() * own / summed(own.clone()).clamp(min=1)
    return {"lambda_m": share * weights.lambda_m, "lambda_a": share * weights.lambda_a}


class Update:
    """Update a model's weights once for each batch that it is called with.

    Args:
        model: its trainable part is updated in place, where it is.
        config: optimizer, rates, losses, precision.
        n_pairs: training pairs, one pass over which is an epoch.
        compiled: let torch.compile make kernels of the loss.
    """

    def __init__(self, model: LTM, config: TrainingConfig, n_pairs: int, compiled: bool) -> None:
        self.model, self.config = model, config
        self.device = next(model.parameters()).device
        self.loss: nn.Module = _Loss(model, config)
        if world() > 1:
            ids = [self.device] if self.device.type == "cuda" else None
            self.loss = nn.parallel.DistributedDataParallel(self.loss, device_ids=ids, **_APART)
        if compiled:
            self.loss.compile()
        self.optimizer, self.schedule = _optimizer(model, config, n_pairs)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")

    def __call__(self, batch: BatchTensors) -> dict[str, float]:
        """Update once; the loss and its terms before the update.

        Raises:
            FloatingPointError: features, loss or gradient are not finite; the weights are as they
                were. Names the episodes.
        """
        on_device = to_device(batch, self.device)
        dtype = DTYPES[self.config.precision]
        try:
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                L, terms = self.loss(on_device)
        except ValueError as error:
            raise _not_finite(str(error), batch) from None
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(L).backward()
        self.scaler.unscale_(self.optimizer)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip)
        numbers = torch.stack([L.detach(), *terms.values()])
        if world() > 1:
            numbers = summed(numbers) / world()
        # One copy from the device for all numbers.
        *losses, length = torch.cat([numbers, norm[None]]).tolist()
        values = dict(zip(("L", *terms), losses, strict=True))
        if not math.isfinite(values["L"]):
            raise _not_finite(f"the loss is {values['L']}", batch)
        # In float16 a gradient may be too large once in a while: the scaler leaves that update out.
        if not self.scaler.is_enabled() and not math.isfinite(length):
            raise _not_finite(f"the gradient's norm is {length}", batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return values

    def state_dict(self) -> dict:
        """All that the next update depends on."""
        return {
            "weights": trained_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from there."""
        self.model.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])


def _not_finite(what: str, batch: BatchTensors) -> FloatingPointError:
    return FloatingPointError(
        f"{what} on queries {batch.queries} with supports {batch.supports}: lower the learning "
        "rate, or look at these pictures"
    )


def _optimizer(
    model: LTM, config: TrainingConfig, n_pairs: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    groups = [
        {"params": list(model.T_e.parameters()), "lr": config.embedding_rate},
        {
            "params": [*model.T_f.parameters(), *model.upsam.parameters()],
            "lr": config.learning_rate,
        },
    ]
    if config.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, weight_decay=config.weight_decay, amsgrad=True)
    else:
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    warm = max(1, config.steps // 10)
    epoch = max(1, round(n_pairs / config.batch))

    def factor(step: int) -> float:
        if config.schedule == "decay":
            return 0.8 ** (step // (10 * epoch))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def trained_state(model: LTM) -> dict[str, Tensor]:
    """A copy of the weights that train."""
    return {k: v.detach().clone() for k, v in model.trainable_state().items()}
