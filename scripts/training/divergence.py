"""Diverged training stops: a loss, gradient or output that is not finite never gets into weights that are kept."""

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.networks.utils import eval_mode
from monai.utils import CommonKeys as Keys


class DivergenceError(ValueError):
    """Training that cannot go on; the message says where it diverged and what to try."""


class StopDivergence:
    """Stop at the first loss or gradient that is not finite, before the optimizer takes its step.

    At the end of an epoch the network must also give finite values for the epoch's last batch, as the last step may
    have spoilt the weights. With gradient scaling (CUDA, `amp`) infinite gradients are normal and only the loss counts.
    """

    def __init__(self) -> None:
        self.inputs: torch.Tensor | None = None

    def attach(self, engine: Engine) -> None:
        """Register with one of MONAI's trainers, before whatever keeps its weights."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._check_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_epoch)

    def _check_step(self, engine: Engine) -> None:
        self.inputs, loss = engine.state.output[Keys.IMAGE], engine.state.output[Keys.LOSS].detach()
        parts = {"loss": loss.float()}
        if getattr(engine, "scaler", None) is None:
            groups = engine.optimizer.param_groups
            gradients = [weight.grad for group in groups for weight in group["params"] if weight.grad is not None]
            parts["gradient"] = torch.nn.utils.get_total_norm(gradients, norm_type=float("inf")).to(loss.device).float()
        if not torch.isfinite(torch.stack([*parts.values()])).all():  # both at once: a GPU is waited for once
            name, value = next((name, value) for name, value in parts.items() if not torch.isfinite(value))
            _stop(engine, name, value.item(), self.inputs)

    def _check_epoch(self, engine: Engine) -> None:
        if self.inputs is not None:
            with torch.no_grad(), eval_mode(engine.network):
                output = engine.inferer(self.inputs, engine.network)
            if not torch.isfinite(output).all():
                _stop(engine, "network's output", "values that are not finite", self.inputs)


def _stop(engine: Any, name: str, got: object, inputs: torch.Tensor) -> None:
    ids = engine.state.batch.get("image_id") if isinstance(engine.state.batch, dict) else None
    images = f" ({', '.join(map(str, list(ids)[:3]))})" if ids else ""
    where = f"in epoch {engine.state.epoch}, iteration {engine.state.iteration}"
    if not torch.isfinite(inputs).all():
        raise DivergenceError(
            f"image: got values that are not finite{images} {where}; want finite ones: mend the files"
        )
    rate = engine.optimizer.param_groups[0]["lr"]
    remedy = f"lower --optimizer::lr (here {rate:g}), or look at the images{images}"
    kept = "nothing is published; the best epoch before, if any, is kept"
    raise DivergenceError(f"{name}: got {got} {where}; want a finite number: training diverged; {remedy}; {kept}")
