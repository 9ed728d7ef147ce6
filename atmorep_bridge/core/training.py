"""Training of a model, on one process or many, and its checkpoint."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import TypeAdapter
from torch import Tensor
from torch.utils.data import DataLoader

from atmorep_bridge.core.base import BASES
from atmorep_bridge.core.losses import crps, of_samples, published
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.model import MaskedTokenModel
from atmorep_bridge.core.samples import NOISE, Consecutive, Sample, Samples
from atmorep_bridge.core.specs import Setup
from atmorep_bridge.core.statistics import Statistics, fit
from atmorep_bridge.core.tokens import on_points, to_tokens
from atmorep_bridge.core.windows import Region
from sifnet.errors import SifnetError
from sifnet.files import writable
from sifnet.training.trainer import make_trainer, run

FORMAT = 1  # of the checkpoint


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        steps: of the optimiser; in epochs of ``steps_per_epoch``, after each of which an
            interrupted training can go on.
        batch: windows in a step, of each process.
        learning_rate: AdamW's largest; it rises over the first twentieth and falls to zero.
        superposed: share of samples to which another day is added, see ``samples``.
        workers: processes that read windows.
        device, devices, precision, strategy: see ``trainer.make_trainer``.
    """

    steps: int = 3000
    steps_per_epoch: int = 100
    batch: int = 16
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    superposed: float = 0.75
    seed: int = 0
    workers: int = 0
    device: str = "cpu"
    devices: int = 1
    precision: str = "32-true"
    strategy: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "steps_per_epoch", "batch", "devices"):
            if getattr(self, name) < 1:
                raise SifnetError(
                    f"training: {name} is too small", found=getattr(self, name),
                    expected="at least 1",
                )  # fmt: skip


class Core(lightning.LightningModule):
    """A masked-token model with the statistics it needs."""

    def __init__(
        self, setup: Setup, statistics: Statistics, training: Training = Training()
    ) -> None:
        super().__init__()
        self.made_for, self.statistics, self.how = setup, statistics, training
        self.model = MaskedTokenModel(setup)
        fair = partial(crps, alpha=setup.alpha)
        self.loss = published if setup.loss == "published" else fair

    def filled(
        self, given: dict[str, Tensor], kinds: dict[str, Tensor], base: str | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the tokens are filled with and the error expected of that, ``batch, token, value``.

        Args:
            given: of each field anomalies, ``batch, level, time, latitude, longitude``.
            kinds: ``batch, token``. base: in place of the model's own.
        """
        base = base or self.made_for.base
        tokens, errors = {}, {}
        for spec in self.made_for.fields:
            usual = self.statistics.fields[spec.name]
            values, kind = given[spec.name], kinds[spec.name]
            grid = kind.view(-1, *self.made_for.grid(spec))
            hidden = on_points(grid == Kind.HIDDEN, spec.patch)
            memory = usual.memory.to(values)
            fill = BASES.get(base, BASES["informed"])
            filled, error = fill(values, torch.isfinite(values) & ~hidden, memory)
            if base == "zero":
                filled = torch.where(hidden, 0.0, filled)
                error = torch.ones_like(error)
            tokens[spec.name] = to_tokens(filled, spec.patch)
            expected = to_tokens(error, spec.patch)
            detail = usual.detail.to(values).view(1, -1, 1, 1, 1).expand_as(values)
            coarse = (kind == Kind.COARSE)[..., None], (kind == Kind.NOISY)[..., None]
            expected = torch.where(coarse[0], to_tokens(detail, spec.patch), expected)
            errors[spec.name] = torch.where(coarse[1], NOISE, expected)
        return tokens, errors

    def forward(
        self, given: dict[str, Tensor], pattern: dict[str, Tensor], kinds: dict[str, Tensor],
        info: dict[str, Tensor],
    ) -> dict[str, tuple[Tensor, Tensor]]:  # fmt: skip
        """Anomalies of each field where tokens are not seen, and the error expected of the base.

        Args:
            given: see ``filled``. pattern: ``batch, level, 1, latitude, longitude``.

        Returns:
            ``member, predicted token, value`` and ``predicted token, value``.
        """
        tokens, errors = self.filled(given, kinds)
        patterns = {s.name: to_tokens(pattern[s.name].expand_as(given[s.name]), s.patch)
                    for s in self.made_for.fields}  # fmt: skip
        chosen = {name: kind != Kind.SEEN for name, kind in kinds.items()}
        residual = self.model(tokens, patterns, kinds, info, chosen)
        found = {}
        for name, where in chosen.items():
            error = errors[name][where]
            scale = error * patterns[name][where]
            found[name] = (tokens[name][where] + scale * residual[name].float(), error)
        return found

    def training_step(self, batch: Sample, _: int) -> Tensor:
        """Loss in units of the error expected of the base: easy and hard plans count alike."""
        found = self(batch["given"], batch["pattern"], batch["kinds"], batch["info"])
        total: Tensor | float = 0.0
        for spec in self.made_for.fields:
            kinds = batch["kinds"][spec.name]
            where = kinds != Kind.SEEN
            truth = to_tokens(batch["truth"][spec.name], spec.patch)[where]
            members, error = found[spec.name]
            known = torch.isfinite(truth)
            truth = torch.where(known, truth, members[0].detach())
            each = self.loss(members / error, truth / error)
            sample = where.nonzero()[:, 0]
            total = total + of_samples(each, known, sample, kinds.shape[0]).mean()
        loss = total / len(self.made_for.fields)
        assert isinstance(loss, Tensor)
        self.log("loss", loss, on_step=False, on_epoch=True, sync_dist=self.how.devices > 1,
                 batch_size=kinds.shape[0], prog_bar=True)  # fmt: skip
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, biases and norms without decay; warm-up, then a cosine to zero."""
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.how.weight_decay},
             {"params": plain, "weight_decay": 0.0}],
            lr=self.how.learning_rate, betas=(0.9, 0.98),
        )  # fmt: skip
        warm, steps = max(self.how.steps // 20, 1), self.how.steps

        def rate(step: int) -> float:
            falling = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
            return min((step + 1) / warm, falling)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def content(self, weights: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a checkpoint holds: tensors and text, nothing that runs."""
        model = self.model.state_dict() if weights is None else weights
        return {
            "format": FORMAT,
            "made_for": json.dumps(asdict(self.made_for)),
            "trained": json.dumps(asdict(self.how)),
            "statistics": self.statistics.state(),
            "model": model,
        }


def train(
    region: Region,
    setup: Setup,
    output: str | Path,
    *,
    config: Training = Training(),
    progress: bool = False,
) -> Core:
    """Train a model on a region, its training part, and write ``output`` (a checkpoint).

    An interrupted training goes on from its last epoch when called again in the same way; what it
    needs is kept in a folder beside the output until then.

    Raises:
        SifnetError: the region is smaller than a window, or the output cannot be written.
    """
    output = Path(output)
    folder = writable(output.with_suffix(".training"))
    lightning.seed_everything(config.seed, verbose=False)
    region = region.loaded()
    core = Core(setup, fit(region, setup), config)
    samples = Samples(region, setup, core.statistics, config.seed, config.superposed)
    steps = min(config.steps_per_epoch, config.steps)
    loader = DataLoader(
        samples,
        batch_size=config.batch,
        sampler=Consecutive(samples, config.batch, steps),
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
    trainer = make_trainer(
        epochs=config.steps // steps,
        steps_per_epoch=steps,
        folder=folder,
        device=config.device,
        devices=config.devices,
        precision=config.precision,
        strategy=config.strategy,
        progress=progress,
    )
    run(trainer, core, loader, _interrupted(folder, core, region))
    weights = trainer.strategy.lightning_module_state_dict()
    if trainer.is_global_zero:
        model = {k.removeprefix("model."): v.cpu() for k, v in weights.items()
                 if k.startswith("model.")}  # fmt: skip
        save(core.content(model), output)
        for left in ("last.ckpt", "training.json"):
            (folder / left).unlink(missing_ok=True)
    return core.eval()


def _interrupted(folder: Path, core: Core, region: Region) -> Path | None:
    """The last epoch of an interrupted training of the same model on the same data."""
    now = json.dumps({
        "made_for": asdict(core.made_for), "how": asdict(core.how),
        "data": [*region.data.attrs["files"], str(region.times[0]), str(region.times[-1])],
    })  # fmt: skip
    note, last = folder / "training.json", folder / "last.ckpt"
    if note.exists() and last.exists() and note.read_text() == now:
        return last
    note.write_text(now)
    return None


def save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        SifnetError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        raise SifnetError(
            "the model cannot be written", found=str(error).split("\n")[0],
            expected="a folder with write permission and space",
            remedy="Choose another output.", file=path,
        ) from error  # fmt: skip


def load(path: str | Path) -> Core:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, not a checkpoint of ``atmorep-bridge train``, or of a later format.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["format"] > FORMAT:
            raise ValueError(f"format {content['format']}")
        setup = TypeAdapter(Setup).validate_json(content["made_for"])
        how = TypeAdapter(Training).validate_json(content["trained"])
        core = Core(setup, Statistics.from_state(content["statistics"]), how)
        core.model.load_state_dict(content["model"])
    except SifnetError:
        raise
    except Exception as error:
        raise SifnetError(
            "this is not a readable model",
            found=f"{type(error).__name__}: {error}".split("\n")[0],
            expected=f"a checkpoint of format {FORMAT} that `atmorep-bridge train` wrote",
            remedy="Train it again with `atmorep-bridge train`.",
            file=path,
        ) from error
    return core.eval()
