"""The retrieval: an encoder that explains radiance through the simulation, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from pydantic import TypeAdapter
from torch import Tensor, nn

from sifnet import card
from sifnet.errors import SifnetError
from sifnet.files import checkpoint, save_checkpoint
from sifnet.physics.discrepancy import Correction, Discrepancy
from sifnet.physics.emulator import CoefficientNetwork, Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.precision import exact
from sifnet.physics.state import RANGES, SensorState, State
from sifnet.physics.surface import sif_shape
from sifnet.physics.transfer import Radiance
from sifnet.retrieval import losses
from sifnet.retrieval.encoder import Architecture, Encoder
from sifnet.retrieval.expected import ExpectedSif
from sifnet.retrieval.losses import LossWeights, Perturbed
from sifnet.retrieval.pixel_limit import refused
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shape import ShapePredictor, Sizes
from sifnet.retrieval.window import fit_bands, fit_window
from sifnet.scenes.scene import MeasuredResponse, Scene
from sifnet.scenes.sensor import FIT_WINDOW, Sensor

KIND = "sifnet retrieval"  # of the checkpoint
SAME_BAND = 0.02  # nm, within which centres and widths of bands are those of a model


@dataclass(frozen=True)
class Setup:
    """What a retrieval is made for; plain values, so that a checkpoint holds no code.

    Attributes:
        wavelength, fwhm: of the bands in the fit window, nm.
        space: whether the sensor is in space.
        lines: names of the fitted flight lines, in the order of the encoder's columns.
        patch: lines and samples that share an atmosphere.
        predictor: of the shape of reflectance, where there is one.
        response: measured, of the bands, (wavelength nm, response) each; Gaussians without.
        features: that the network reads, where it was taught on other bands.
    """

    sensor: Sensor
    wavelength: tuple[float, ...]
    fwhm: tuple[float, ...]
    space: bool
    window: tuple[float, float] = FIT_WINDOW
    patch: tuple[int, int] = (32, 32)
    lines: tuple[str, ...] = ()
    predictor: Sizes | None = None
    response: MeasuredResponse | None = None
    architecture: Architecture = field(default_factory=Architecture)
    features: int | None = None
    weights: LossWeights = field(default_factory=LossWeights)

    @classmethod
    def of_scene(
        cls,
        scene: Scene,
        emulator: Emulator,
        window: tuple[float, float] | None = None,
        **options: Any,
    ) -> Setup:
        """The setup of a scene's sensor and of its bands that an emulator can simulate.

        Raises:
            SifnetError: the sensor can be inspected only, or has too few bands.
        """
        if scene.sensor.inspect_only:
            raise refused(scene, emulator)
        window = fit_window(scene, emulator, window)
        bands = fit_bands(scene.wavelength, window, scene.file)
        return cls(
            sensor=scene.sensor,
            wavelength=tuple(scene.wavelength[bands].tolist()),
            fwhm=tuple(scene.fwhm[bands].tolist()),
            space=scene.space,
            window=window,
            response=scene.response(bands),
            **options,
        )

    def suits(self, other: Setup) -> bool:
        """Whether both are for the same sensor and bands."""
        same = len(other.wavelength) == len(self.wavelength) and all(
            np.allclose(getattr(other, name), getattr(self, name), rtol=0, atol=SAME_BAND)
            for name in ("wavelength", "fwhm")
        )
        kinds = [(s.sensor.name, s.response) for s in (self, other)]
        return same and kinds[0] == kinds[1]

    def other(self, setup: Setup, scene: Scene) -> SifnetError:
        """That a scene, whose setup is another, is not one that this setup was made for."""
        return SifnetError(
            "the model was not made for this scene",
            found=_summary(setup),
            expected=_summary(self),
            remedy="Fit a model to the scene with `sifnet.fit(scene)`.",
            command="Fit a model on a scene of this sensor with `sifnet fit`.",
            file=scene.file,
        )


def instrument_for(
    sensor: Sensor,
    wavelength: ArrayLike,
    fwhm: ArrayLike,
    emulator: Emulator,
    response: MeasuredResponse | None = None,
    **options: Any,
) -> Instrument:
    """Given bands with the shifts and widths that are usual for a sensor."""
    return Instrument(
        wavelength,
        fwhm,
        emulator,
        response=response,
        shift_range=sensor.shift_range,
        fwhm_range=sensor.fwhm_range,
        **options,
    )


class Retrieval(nn.Module):
    """Encoder, simulation and loss. Emulator and instrument are frozen; the encoder learns.

    ``errors``, ``line, 1 + component``, are what the simulation is wrong by on each fitted line:
    stray light, in STRAY_SD, and the coefficients of the discrepancy, as the solution of the line
    has them: the encoder is trained beside them, they themselves are not.
    ``made_by`` are the settings of the fit, for the record; ``expected`` is what the fitted lines
    say of fluorescence, None where none is fitted.
    """

    made_by: Mapping[str, Any]
    expected: ExpectedSif | None

    def __init__(
        self, setup: Setup, emulator: Emulator, instrument: Instrument | None = None
    ) -> None:
        """Of a setup; its instrument is built where it is not there already."""
        super().__init__()
        self.setup, self.made_by, self.expected = setup, {}, None
        self.emulator = emulator.requires_grad_(False)
        self.instrument = instrument or instrument_for(
            setup.sensor, setup.wavelength, setup.fwhm, emulator, setup.response
        )
        self.predictor = None
        if setup.predictor is not None:
            self.predictor = ShapePredictor(setup.predictor).requires_grad_(False)
        self.encoder = Encoder(
            len(setup.wavelength),
            features=setup.features,
            ranges={**RANGES, **emulator.ranges, **self.instrument.ranges},
            architecture=setup.architecture,
        )
        self.errors = nn.Parameter(torch.zeros(0, 0), requires_grad=False)

    def _card(self) -> list[tuple[str, str]]:
        setup, made = self.setup, self.made_by
        low, high = setup.wavelength[0], setup.wavelength[-1]
        numbers = sum(parameter.numel() for parameter in self.encoder.parameters())
        fitted = ", ".join(setup.lines) or "none: as pre-trained on simulations"
        rows = [
            ("bands", f"{len(setup.wavelength)}, {low:.2f}-{high:.2f} nm"),
            ("patch", f"{setup.patch[0]} lines x {setup.patch[1]} samples share an atmosphere"),
            ("encoder", f"{numbers:,} parameters, of {self.encoder.features.projection.shape[1]} "
             "components of the spectrum"),
            ("reflectance", "shape predicted from the whole spectrum" if self.predictor
             else "a parabola"),
            ("fitted lines", fitted),
        ]  # fmt: skip
        told = [f"{name} {made[name]}" for name in ("epochs", "steps", "seed") if name in made]
        return [*rows, ("made by", ", ".join(told))] if told else rows

    def __repr__(self) -> str:
        return card.text(f"sifnet.Retrieval for {self.setup.sensor.name}", self._card())

    def _repr_html_(self) -> str:
        return card.html(f"Retrieval for {self.setup.sensor.name}", self._card())

    def lines_simulator(self) -> tuple[SensorState, Simulator]:
        """Sensor states of all columns ``line, 1, column`` of the fitted lines, settled."""
        sensor = self.encoder.bound_sensor(self.encoder.columns[:, None])
        with exact():
            wrong = replace(self.simulator, correction=self.correction(self.errors))
            return sensor, wrong.settled(sensor)

    def loss_terms(
        self,
        pixels: Pixels,
        sensor: SensorState | None = None,
        simulator: Simulator | None = None,
    ) -> dict[str, Tensor]:
        """Weighted terms of the loss: the state must explain the radiance, within what is known.

        Args:
            sensor: of the pixels, where it is known; simulator: then settled for it.
        """
        errors = self.errors_of(pixels.line_id)
        with self.encoder.folded():
            state = self.encoder(pixels, sensor)
            with exact():
                if simulator is None:
                    simulator = replace(self.simulator, correction=self.correction(errors))
                light = simulator.light(state, pixels.geometry, shape_prior=pixels.shape_prior)
            perturbed = self.perturb(pixels, state, light)
        with exact():
            seen = pixels.without_stray(STRAY_SD * errors[:, 0, None, None])
            return losses.terms(seen, light.value, state, perturbed, self.setup.weights, errors)

    def errors_of(self, line_id: Int[Tensor, patch]) -> Float[Tensor, "patch error"]:
        """``errors`` of the lines of patches, 0 where none is fitted."""
        if self.errors.numel():
            return self.errors[line_id] * (line_id >= 0)[:, None]
        return self.errors.new_zeros(len(line_id), 1 + self.discrepancy.count)

    def correction(self, errors: Float[Tensor, "*patch error"]) -> Correction:
        """Of the simulation, by what it is wrong by; see ``errors``."""
        with exact():
            return self.discrepancy.correction(errors[..., 1:])

    def add_lines(self, sensors: Tensor, errors: Tensor) -> None:
        """Know flight lines, to be fitted further.

        Args:
            sensors: unbounded, see ``Encoder.columns``; errors: see the class.
        """
        self.encoder.add_lines(sensors)
        self.errors = nn.Parameter(errors.clone(), requires_grad=False)

    @property
    def simulator(self) -> Simulator:
        """The simulation that explains radiance."""
        return Simulator(self.emulator, self.instrument)

    @cached_property
    def discrepancy(self) -> Discrepancy:
        """What the simulation may be wrong by."""
        return Discrepancy.of_sensor(self.instrument, self.emulator)

    def perturb(self, pixels: Pixels, state: State, light: Radiance) -> Perturbed | None:
        """The state found with a random extra fluorescence of -1 to 1.5 in the radiance.

        Args:
            light: of the state; it is linear in fluorescence.
        """
        if self.setup.weights.perturbation == 0:
            return None
        with torch.no_grad():
            low, high = self.encoder.ranges["sif_760"]
            sif = state.surface.sif_760
            extra = (sif + torch.empty_like(sif).uniform_(-1.0, 1.5)).clamp(low, high) - sif
            change = light.to_sif * sif_shape(self.simulator.wavelength(state.sensor))
        changed = replace(pixels, radiance=pixels.radiance + extra[..., None] * change)
        return Perturbed(self.encoder(changed, state.sensor), extra)

    @property
    def device(self) -> torch.device:
        """Where all is but the scenes, and what reads them."""
        return self.instrument.wavelength.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Retrieval:
        """Moved to a device; the predictor stays where scenes are read."""
        predictor = self._modules.pop("predictor", None)
        super()._apply(fn, recurse)
        if predictor is not None:
            self._modules["predictor"] = predictor
        known = self.__dict__.get("discrepancy")
        if known is not None:
            moved = replace(known, mean=fn(known.mean), components=fn(known.components))
            self.__dict__["discrepancy"] = moved
        return self

    def train(self, mode: bool = True) -> Retrieval:
        """Batch norm and dropout stay as frozen by the pre-training: same output as later."""
        return super().train(False)

    def refuse_other(self, scene: Scene) -> None:
        """Refuse a scene that this model was not made for.

        Raises:
            SifnetError: another sensor, or other bands.
        """
        setup = Setup.of_scene(scene, self.emulator, self.setup.window)
        if not self.setup.suits(setup):
            raise self.setup.other(setup, scene)

    def line_id(self, scene: Scene) -> int:
        """Number of a scene among the fitted flight lines, -1 for another."""
        key = line_key(scene)
        same_swath = self.encoder.columns.shape[1] == scene.shape[1]
        fitted = key in self.setup.lines and same_swath
        return self.setup.lines.index(key) if fitted else -1

    def expected_on(self, scene: Scene) -> ExpectedSif | None:
        """What a scene's own fit says of its fluorescence, None for a scene that was not fitted."""
        return None if self.line_id(scene) < 0 else self.expected

    def save(self, path: str | Path) -> None:
        """Write a checkpoint in one piece: it is there whole or not at all.

        Raises:
            SifnetError: the path cannot be written.
        """
        content = {
            "setup": TypeAdapter(Setup).dump_json(self.setup).decode(),
            "encoder": self.encoder.state_dict(),
            "errors": self.errors.detach(),
            "predictor": {} if self.predictor is None else self.predictor.state_dict(),
            "expected": {} if self.expected is None else dict(self.expected.items()),
            "emulator": self.emulator.state_dict(),
            "emulator_metadata": json.dumps(self.emulator.metadata),
            "made_by": json.dumps(self.made_by),
        }
        save_checkpoint(path, KIND, content)


def load(path: str | Path) -> Retrieval:
    """Read a checkpoint; only tensors and plain values are read, no code runs.

    Raises:
        SifnetError: missing, not a checkpoint of sifnet, or of a later format.
    """
    with checkpoint(path, KIND, "sifnet fit") as content:
        setup = TypeAdapter(Setup).validate_json(content["setup"])
        retrieval = Retrieval(setup, _emulator(content))
        retrieval.made_by = json.loads(content.get("made_by", "{}"))
        columns = torch.zeros_like(content["encoder"]["columns"])
        retrieval.add_lines(columns, content.get("errors", torch.zeros(0, 0)))
        retrieval.encoder.load_state_dict(content["encoder"])
        if retrieval.predictor is not None:
            retrieval.predictor.load_state_dict(content["predictor"])
        if content.get("expected"):
            absent = {"relative": torch.zeros(())}  # in files until 0.1
            retrieval.expected = ExpectedSif(**absent | content["expected"])
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
    bands = f"{len(setup.wavelength)} bands {low:.3f}-{high:.3f} nm"
    return f"{setup.sensor.name}, {bands}"
