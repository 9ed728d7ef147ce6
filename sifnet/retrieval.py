"""The retrieval: an encoder that explains radiance through the simulation, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import TypeAdapter
from torch import Tensor

from sifnet import losses
from sifnet.encoder import Architecture, Encoder
from sifnet.errors import SifnetError
from sifnet.losses import LossWeights, Perturbed
from sifnet.physics.emulator import CoefficientNetwork, Emulator
from sifnet.physics.forward import simulate
from sifnet.physics.instrument import Instrument, usual_for
from sifnet.physics.state import RANGES, State
from sifnet.pixels import Pixels, fit_bands
from sifnet.scene import FIT_WINDOW, MeasuredResponse, Scene
from sifnet.shape import ShapePredictor, Sizes

FORMAT = 1  # of the checkpoint
SAME_BAND = 0.02  # nm, within which centres and widths of bands are those of a model


@dataclass(frozen=True)
class Setup:
    """What a retrieval is made for; plain values, so that a checkpoint holds no code.

    Attributes:
        wavelength, fwhm: of the bands in the fit window, nm.
        irradiance: whether scenes bring measured irradiance.
        space: whether the sensor is in space.
        lines: names of the fitted flight lines, in the order of the encoder's columns.
        patch: lines and samples that share an atmosphere.
        predictor: of the shape of reflectance, where there is one.
        response: measured, of the bands, (wavelength nm, response) each; Gaussians without.
    """

    sensor: str
    wavelength: tuple[float, ...]
    fwhm: tuple[float, ...]
    irradiance: bool
    space: bool
    window: tuple[float, float] = FIT_WINDOW
    patch: tuple[int, int] = (32, 32)
    lines: tuple[str, ...] = ()
    predictor: Sizes | None = None
    response: MeasuredResponse | None = None
    architecture: Architecture = field(default_factory=Architecture)
    weights: LossWeights = field(default_factory=LossWeights)

    @classmethod
    def of_scene(cls, scene: Scene, **options: Any) -> Setup:
        """The setup of a scene's sensor and bands."""
        options["window"] = options.get("window") or usual_for(scene.sensor).window
        bands = fit_bands(scene.wavelength, options["window"])
        return cls(
            sensor=scene.sensor,
            wavelength=tuple(scene.wavelength[bands].tolist()),
            fwhm=tuple(scene.fwhm[bands].tolist()),
            irradiance=scene.irradiance is not None,
            space=bool(np.isposinf(scene.dataset["sensor_height"]).all()),
            response=scene.response(bands),
            **options,
        )

    def suits(self, other: Setup) -> bool:
        """Whether both are for the same sensor, bands and kind of light."""
        same = len(other.wavelength) == len(self.wavelength) and all(
            np.allclose(getattr(other, name), getattr(self, name), rtol=0, atol=SAME_BAND)
            for name in ("wavelength", "fwhm")
        )
        kinds = [(s.sensor, s.irradiance, s.response) for s in (self, other)]
        return same and kinds[0] == kinds[1]

    def refuse_other(self, scene: Scene) -> None:
        """Refuse a scene that this setup was not made for.

        Raises:
            SifnetError: another sensor, other bands, or irradiance where none was or none where
                some was.
        """
        other = Setup.of_scene(scene, window=self.window)
        if self.suits(other):
            return
        raise SifnetError(
            "the model was not made for this scene",
            found=_summary(other),
            expected=_summary(self),
            remedy="Fit a model on a scene of this sensor with `sifnet fit`.",
            file=(scene.dataset.attrs["source_files"] or [None])[0],
        )


class Retrieval(lightning.LightningModule):
    """Encoder, simulation and loss. Emulator and instrument are frozen; the encoder learns."""

    def __init__(self, setup: Setup, emulator: Emulator, *, learning_rate: float = 5e-4) -> None:
        super().__init__()
        self.made_for = setup
        self.learning_rate = learning_rate
        self.emulator = emulator.requires_grad_(False)
        self.instrument = Instrument.of_sensor(
            setup.sensor, setup.wavelength, setup.fwhm, emulator, setup.response
        )
        self.predictor = None
        if setup.predictor is not None:
            self.predictor = ShapePredictor(setup.predictor).requires_grad_(False)
        self.encoder = Encoder(
            len(setup.wavelength),
            ranges={**RANGES, **emulator.ranges, **self.instrument.ranges},
            irradiance=setup.irradiance,
            architecture=setup.architecture,
        )

    def training_step(self, pixels: Pixels, _: int) -> Tensor:
        """Loss of a batch: the state must explain the radiance, within what is known."""
        state = self.encoder(pixels)
        simulated = self.simulate(pixels, state)
        perturbed = self.perturb(pixels, state)
        terms = losses.terms(pixels, simulated, state, perturbed, self.made_for.weights)
        loss = torch.stack(list(terms.values())).sum()
        self.log_dict({"loss": loss, **terms}, on_step=False, on_epoch=True, batch_size=1,
                      sync_dist=True)  # fmt: skip
        return loss

    def simulate(self, pixels: Pixels, state: State) -> Tensor:
        """Radiance of a state under the light of the pixels, ``patch, line, sample, band``."""
        return simulate(
            state, pixels.geometry, self.emulator, self.instrument, pixels.irradiance, pixels.known
        )

    def perturb(self, pixels: Pixels, state: State) -> Perturbed | None:
        """The state found with a random extra fluorescence of -1 to 1.5 in the radiance."""
        if self.made_for.weights.perturbation == 0:
            return None
        with torch.no_grad():
            low, high = self.encoder.ranges["sif_760"]
            sif = state.surface.sif_760
            extra = (sif + torch.empty_like(sif).uniform_(-1.0, 1.5)).clamp(low, high) - sif
            more = replace(state, surface=replace(state.surface, sif_760=sif + extra))
            change = self.simulate(pixels, more) - self.simulate(pixels, state)
        changed = replace(pixels, radiance=pixels.radiance + change)
        return Perturbed(self.encoder(changed), extra)

    def train(self, mode: bool = True) -> Retrieval:
        """Batch norm and dropout stay as frozen by the pre-training: same output as later."""
        return super().train(False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam from the learning rate down to a fifth; columns, of few pixels each, faster."""
        columns = [self.encoder.columns]
        rest = [p for n, p in self.encoder.named_parameters() if n != "columns"]
        groups = [
            {"params": rest, "lr": self.learning_rate},
            {"params": columns, "lr": 10 * self.learning_rate},
        ]
        optimizer = torch.optim.Adam(groups)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        decay = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.2 ** min(1.0, step / steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": decay, "interval": "step"},
        }

    def transfer_batch_to_device(
        self, batch: Pixels, device: torch.device, dataloader_idx: int
    ) -> Pixels:
        """Lightning does not move frozen dataclasses by itself."""
        return batch.map(lambda x: x.to(device))

    def line_id(self, scene: Scene) -> int:
        """Number of a scene among the fitted flight lines, -1 for another."""
        key = line_key(scene)
        known = key in self.made_for.lines and self.encoder.columns.shape[1] == scene.shape[1]
        return self.made_for.lines.index(key) if known else -1

    def save(self, path: str | Path) -> None:
        """Write a checkpoint in one piece: it is there whole or not at all.

        Raises:
            SifnetError: the path cannot be written.
        """
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        content = {
            "format": FORMAT,
            "made_for": TypeAdapter(Setup).dump_json(self.made_for).decode(),
            "encoder": self.encoder.state_dict(),
            "predictor": {} if self.predictor is None else self.predictor.state_dict(),
            "emulator": self.emulator.state_dict(),
            "emulator_metadata": json.dumps(self.emulator.metadata),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(content, partial)
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            raise SifnetError(
                "the model cannot be written",
                found=str(error),
                expected="a folder with write permission and space",
                remedy="Choose another output folder.",
                file=path,
            ) from error


def load(path: str | Path) -> Retrieval:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, not a checkpoint of sifnet, or of a later format.
    """
    path = Path(path)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["format"] > FORMAT:
            raise ValueError(f"format {content['format']}")
        setup = TypeAdapter(Setup).validate_json(content["made_for"])
        retrieval = Retrieval(setup, _emulator(content))
        columns = content["encoder"]["columns"]
        retrieval.encoder.add_lines(torch.zeros_like(columns))
        retrieval.encoder.load_state_dict(content["encoder"])
        if retrieval.predictor is not None:
            retrieval.predictor.load_state_dict(content["predictor"])
    except SifnetError:
        raise
    except Exception as error:
        raise SifnetError(
            "this is not a readable model",
            found=f"{type(error).__name__}: {error}".split("\n")[0],
            expected=f"a checkpoint of format {FORMAT} that `sifnet fit` wrote",
            remedy="Fit it again with `sifnet fit`.",
            file=path,
        ) from error
    return retrieval.eval()


def line_key(scene: Scene) -> str:
    """What identifies a flight line: name and time."""
    return f"{scene.name} {scene.dataset.attrs['acquisition_time']}"


def _emulator(content: Mapping[str, Any]) -> Emulator:
    metadata, state = json.loads(content["emulator_metadata"]), content["emulator"]
    network = CoefficientNetwork(**metadata["network"])
    emulator = Emulator(state["grid"], state["basis"], network, metadata)
    emulator.load_state_dict(state)
    return emulator


def _summary(setup: Setup) -> str:
    low, high = setup.wavelength[0], setup.wavelength[-1]
    light = "with" if setup.irradiance else "without"
    bands = f"{len(setup.wavelength)} bands {low:.3f}-{high:.3f} nm"
    return f"{setup.sensor}, {bands}, {light} measured irradiance"
