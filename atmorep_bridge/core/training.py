"""Training of a model, on one process or many, and its checkpoint."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader

from atmorep_bridge.core.covariance import HELD
from atmorep_bridge.core.losses import crps, of_samples
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.model import MaskedTokenModel
from atmorep_bridge.core.samples import Consecutive, Sample, Samples
from atmorep_bridge.core.specs import Setup
from atmorep_bridge.core.statistics import Statistics, fit
from atmorep_bridge.core.tokens import AREA, ByField, to_tokens
from atmorep_bridge.core.windows import Region
from sifnet.errors import require_number
from sifnet.files import checkpoint, save_checkpoint, whole, writable
from sifnet.training.resume import Asked, weights_told
from sifnet.training.trainer import Told, by_itself, check_settings, make_trainer, run

KIND = "a masked-token model"
HELD_LOSS = "held_loss"
PARTS = "input", "error", "pattern", "kinds", "info"
"""Of a sample: what a model is told."""
VALIDATED = 8  # batches of days held back at most, the same after every epoch
AVERAGED = 0.1  # share of the steps over which weights are averaged


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    On all but the last fifth of the days, by which the base too is chosen: of weights averaged
    over some steps, those of the epoch of least loss on these days are kept, or where the base
    alone has less, none but its own. Where a fifth of the days holds no window, all are trained on,
    and the last epoch is kept.

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
        counts = {**dict.fromkeys(("steps", "steps_per_epoch", "batch"), 1), "workers": 0}
        check_settings(self, counts=counts, rates=("learning_rate",))
        require_number("training: weight_decay", self.weight_decay, 0)
        require_number("training: superposed", self.superposed, 0, 1)


class Core(nn.Module):
    """A masked-token model with the statistics it needs."""

    def __init__(
        self, setup: Setup, statistics: Statistics, training: Training = Training()
    ) -> None:
        super().__init__()
        self.setup, self.statistics, self.how = setup, statistics, training
        self.model = MaskedTokenModel(setup)

    def silent(self) -> Core:
        """The base alone, each member a fixed quantile around it: what a model begins from."""
        alone = Core(self.setup, self.statistics, self.how)
        for name in self.setup.names:
            tails = alone.model.part(name).tails
            nn.init.zeros_(tails.weight)
        return alone.eval()

    def forward(
        self, filled: ByField, error: ByField, pattern: ByField, kinds: ByField, info: ByField
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Anomalies of each field where tokens are not seen, and the error expected of the base.

        Args:
            filled, error: what windows are filled with, see ``filling``.
            pattern: ``batch, level, 1, latitude, longitude``. kinds: ``batch, token``.
            info: ``batch, token, INFO``.

        Returns:
            ``member, predicted token, value`` and ``predicted token, value``.
        """
        tokens, errors, patterns = (
            {s.name: to_tokens(part[s.name].expand_as(filled[s.name]), s.patch)
             for s in self.setup.fields} for part in (filled, error, pattern)
        )  # fmt: skip
        chosen = {name: kind != Kind.SEEN for name, kind in kinds.items()}
        residual = self.model(tokens, patterns, kinds, info, chosen)
        predicted = {}
        for name, where in chosen.items():
            scale = errors[name][where]
            predicted[name] = (tokens[name][where] + scale * residual[name].float(), scale)
        return predicted


class Fitting(Told):
    """Loss and optimiser of a model."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core

    def training_step(self, batch: Sample, _: int) -> Tensor:
        """Loss of a batch."""
        return self.tell({"crps": self.loss_of(batch)})

    def validation_step(self, batch: Sample, _: int) -> None:
        """Loss of a batch of days held back."""
        size = len(batch["kinds"][self.core.setup.names[0]])
        self.log(HELD_LOSS, self.loss_of(batch), batch_size=size,
                 sync_dist=self.core.how.devices > 1)  # fmt: skip

    def loss_of(self, batch: Sample) -> Tensor:
        """Loss in units of the error expected of the base: easy and hard plans count alike.

        A place counts by its area, and by how much the field varies there.
        """
        predicted = self.core(*(batch[part] for part in PARTS))
        losses = []
        for spec in self.core.setup.fields:
            kinds = batch["kinds"][spec.name]
            where = kinds != Kind.SEEN
            truth = to_tokens(batch["truth"][spec.name], spec.patch)[where]
            members, error = predicted[spec.name]
            present = torch.isfinite(truth)
            truth = torch.where(present, truth, members[0].detach())
            each = crps(members / error, truth / error, self.core.setup.alpha)
            sample = where.nonzero()[:, 0]
            pattern = batch["pattern"][spec.name].expand_as(batch["truth"][spec.name])
            weight = to_tokens(pattern, spec.patch)[where]
            weight = weight * batch["info"][spec.name][where][:, AREA, None]
            losses.append(of_samples(each, present * weight, sample, kinds.shape[0]).mean())
        return torch.stack(losses).mean()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, biases and norms without decay; warm-up, then a cosine to zero."""
        how = self.core.how
        decayed = [p for p in self.parameters() if p.ndim > 1]
        plain = [p for p in self.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": how.weight_decay},
             {"params": plain, "weight_decay": 0.0}],
            lr=how.learning_rate, betas=(0.9, 0.98),
        )  # fmt: skip
        warm, steps = max(how.steps // 20, 1), how.steps

        def rate(step: int) -> float:
            falling = 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
            return min((step + 1) / warm, falling)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


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
    with by_itself(folder):
        return _train(region, setup, output, folder, config, progress=progress)


def _train(
    region: Region, setup: Setup, output: Path, folder: Path, config: Training, *, progress: bool
) -> Core:
    lightning.seed_everything(config.seed, verbose=False)
    region, setup = region.loaded(), region.grid.setup(setup)
    fitted = folder / f"statistics-{_named(setup, region)}.pt"
    core = Core(setup, _statistics(fitted, region, setup, config), config)
    asked = _asked(folder, core, region)
    learnt, held = _divided(region, setup)
    steps = min(config.steps_per_epoch, config.steps)
    samples = Samples(learnt, setup, core.statistics, config.seed, config.superposed)
    loader, judge = _loader(samples, steps, config), None
    if held is not None:
        samples = Samples(held, setup, core.statistics, seed=0)
        judge = _loader(samples, min(VALIDATED, steps), config, same=True)
    trainer = make_trainer(
        epochs=config.steps // steps,
        steps_per_epoch=steps,
        folder=folder,
        best=None if judge is None else HELD_LOSS,
        averaged=round(AVERAGED * config.steps),
        device=config.device,
        devices=config.devices,
        precision=config.precision,
        strategy=config.strategy,
        progress=progress,
    )
    alone = core.silent()
    least = math.inf
    if judge is not None:
        least = trainer.validate(Fitting(alone), judge, verbose=False)[0][HELD_LOSS]
    run(trainer, Fitting(core), loader, asked.interrupted(), judge)
    kept = torch.load(asked.last if judge is None else asked.best, "cpu", weights_only=True)
    trainer.strategy.barrier()  # all have read it before the first takes it away
    core = Core(setup, core.statistics, config)
    core.load_state_dict({key.removeprefix("core."): v for key, v in kept["state_dict"].items()})
    if not all(c["best_model_score"] < least for c in kept["callbacks"].values()
               if c.get("monitor") == HELD_LOSS):  # fmt: skip
        core = alone
    if trainer.is_global_zero:
        content = {
            "setup": asdict(core.setup),
            "how": asdict(core.how),
            "statistics": asdict(core.statistics),
            "model": core.model.state_dict(),
        }
        save_checkpoint(output, KIND, content)
        asked.finish()
        fitted.unlink(missing_ok=True)
    return core.eval()


def _divided(region: Region, setup: Setup) -> tuple[Region, Region | None]:
    """What is learnt from, and the last days that are not, where there are enough."""
    first = int((1 - HELD) * region.times.size)
    parts = region.part(0, first), region.part(first, region.times.size)
    enough = all(part.starts(setup.neighbourhood[0]).size for part in parts)
    return parts if enough else (region, None)


def _loader(
    samples: Samples, steps: int, config: Training, *, same: bool = False
) -> DataLoader[Sample]:
    return DataLoader(
        samples,
        batch_size=config.batch,
        sampler=Consecutive(samples, config.batch, steps, same=same),
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )


def _named(setup: Setup, region: Region) -> str:
    """A name of what statistics are of."""
    files, times = region.data.attrs["files"], [region.times[0], region.times[-1]]
    return hashlib.sha256(repr((setup, files, times)).encode()).hexdigest()[:16]


def _statistics(path: Path, region: Region, setup: Setup, config: Training) -> Statistics:
    """Fitted by the first of the processes; all of one machine share the memory it is read into."""
    if config.devices == 1:
        return fit(region, setup)
    if not getattr(rank_zero_only, "rank", 0) and not path.exists():
        with whole(path) as partial:
            torch.save(asdict(fit(region, setup)), partial)
    while not path.exists():  # the first process is at it
        time.sleep(1)
    return Statistics.from_dict(torch.load(path, mmap=True, weights_only=True))


def _asked(folder: Path, core: Core, region: Region) -> Asked:
    """What is trained, and on which data: their files, their hours and their statistics."""
    usual = {
        f"{name}.{part}": values
        for name, field in core.statistics.fields.items()
        for part, values in vars(field).items()
        if isinstance(values, Tensor)
    }
    return Asked(
        folder / "training.json", setup=asdict(core.setup), how=asdict(core.how),
        data=[*region.data.attrs["files"], str(region.times[0]), str(region.times[-1])],
        statistics=weights_told(usual), model=weights_told(core.state_dict()),
    )  # fmt: skip


def load(path: str | Path) -> Core:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, not a checkpoint of ``atmorep-bridge train``, or of another format.
    """
    with checkpoint(path, KIND, "atmorep-bridge train") as content:
        setup = TypeAdapter(Setup).validate_python(content["setup"])
        core = Core(setup, Statistics.from_dict(content["statistics"]), Training(**content["how"]))
        core.model.load_state_dict(content["model"])
    return core.eval()
