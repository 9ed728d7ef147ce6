"""The model that ships, and any model on bands that it was not trained on.

It learned on simulations over the whole range of the emulator (`sifnet pretrain`), so that a fit
starts from it and a map may do without a fit. Spectrometers of one kind differ in their bands; the
network reads components of the spectrum, and these can be expressed in other bands.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sifnet.encoder import Architecture, log_spectrum
from sifnet.errors import SifnetError
from sifnet.losses import LossWeights
from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import simulate
from sifnet.physics.instrument import nominal_of
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import Atmosphere, AtmospherePrior, Geometry, State
from sifnet.pixels import Pixels, join
from sifnet.pretraining import SAMPLES, Pretraining, Simulation
from sifnet.priors import ATMOSPHERE_PRIOR, PRESSURE_SD
from sifnet.retrieval import Retrieval, Setup, load
from sifnet.scene import Scene
from sifnet.shape import ShapePredictor
from sifnet.tables import data_file
from sifnet.trainer import make_trainer, output_folder, run
from sifnet.units import standard_pressure

SHIPPED = {"hyplant": "model_hyplant.ckpt", "desis": "model_desis.ckpt"}
# Predicted shapes err alike over a field, and a patch of a scene from space has few fields.
ALIKE = LossWeights(independent_pixels=10.0)
LOWEST_FLIGHT = 0.1  # km above the ground
EPOCH = 250  # optimiser steps of a pre-training after which it is saved
UNEXPLAINED = 0.5  # of a component's variance, noise included, that other bands may leave


def shipped_file(scene: Scene) -> Path | None:
    """The checkpoint that ships for a scene's sensor and kind of light, None where none does."""
    if scene.sensor not in SHIPPED or scene.irradiance is not None:
        return None
    return data_file(SHIPPED[scene.sensor])


def model_for(scene: Scene, given: str | Path | Retrieval | None = None) -> Retrieval:
    """The given model, or else the one that ships, on the bands of the scene.

    Raises:
        SifnetError: no model ships for this sensor, or the model cannot read these bands.
    """
    if isinstance(given, Retrieval):
        return on_bands_of(given, scene)
    path = given or shipped_file(scene)
    if path is None:
        light = " with measured irradiance" if scene.irradiance is not None else ""
        raise SifnetError(
            "no pre-trained model ships for this scene",
            found=scene.sensor + light,
            expected=f"one of {', '.join(SHIPPED)}, without measured irradiance",
            remedy="Fit a model to the scene with `sifnet fit`, and give it with --model.",
            file=(scene.dataset.attrs["source_files"] or [None])[0],
        )
    return on_bands_of(load(path), scene)


def untrained(
    sensor: str,
    emulator: Emulator,
    architecture: Architecture = Architecture(),
    predictor: ShapePredictor | None = None,
) -> Retrieval:
    """A model for the nominal bands of a sensor over the fit window.

    Raises:
        SifnetError: the sensor is not known.
    """
    usual = nominal_of(sensor)
    centres = usual.centres()
    setup = Setup(
        sensor=sensor,
        wavelength=tuple(centres.tolist()),
        fwhm=(usual.fwhm,) * len(centres),
        irradiance=False,
        space=emulator.space,
        window=usual.window,
        predictor=None if predictor is None else predictor.sizes,
        architecture=architecture,
        weights=LossWeights() if predictor is None else ALIKE,
    )
    model = Retrieval(setup, emulator)
    model.predictor = predictor
    return model


def anywhere(emulator: Emulator, patches: int = 4096) -> Pixels:
    """Patches whose geometry and prior are drawn over all that the emulator covers, no radiance.

    Half of the priors are those of a scene of which nothing is known, half those of a scene that
    comes with an atmosphere file: anywhere in the range, and more certain.
    """
    one = (patches, 1, 1)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(one)

    ranges, names = emulator.ranges, Geometry.__dataclass_fields__
    angles = {name: uniform(*ranges[name]) for name in names if name in ranges}
    if emulator.space:
        angles["sensor_height"] = torch.full(one, torch.inf)
    else:
        low, high = LOWEST_FLIGHT, ranges["sensor_height"][1]
        angles["sensor_height"] = low * (high / low) ** torch.rand(one)
    angles.setdefault("sun_earth_distance", uniform(0.983, 1.017))
    geometry = Geometry(**angles).map(lambda x: x.expand(-1, 1, SAMPLES))

    told = torch.rand(one) < 0.5
    # Most ground is low: a quarter of it above 1 km.
    elevation = 3.0 * torch.rand(one) ** 3
    pressure = torch.as_tensor(standard_pressure(elevation.numpy()), dtype=torch.float32)
    mean, sd = {"surface_pressure": pressure}, {"surface_pressure": torch.full(one, PRESSURE_SD)}
    for name, (usual, spread) in ATMOSPHERE_PRIOR.items():
        mean[name], sd[name] = torch.full(one, usual), torch.full(one, spread)
    known = {"surface_pressure": (pressure, 1.5), "aot_550": (uniform(0.02, 0.7), 0.05),
             "temperature_offset": (uniform(-8.0, 8.0), 1.5)}  # fmt: skip
    for name, (value, spread) in known.items():
        mean[name] = torch.where(told, value, mean[name])
        sd[name] = torch.where(told, spread * torch.exp(uniform(-0.7, 0.7)), sd[name])
    shape = (patches, 1, SAMPLES)
    return Pixels(
        radiance=torch.empty(patches, 0),
        noise=torch.empty(patches, 0),
        irradiance=None,
        geometry=geometry,
        prior=AtmospherePrior(Atmosphere(**mean), Atmosphere(**sd)),
        usable=torch.ones(shape, dtype=torch.bool),
        flags=torch.zeros(shape, dtype=torch.int32),
        ndvi=torch.full(shape, torch.nan),
        column=torch.zeros(patches, SAMPLES, dtype=torch.long),
        line_id=torch.full((patches,), -1),
    )


def on_bands_of(
    model: Retrieval, scene: Scene, window: tuple[float, float] | None = None
) -> Retrieval:
    """The model itself if it was made for the scene's bands, else the same network on these bands.

    Args:
        window: nm, from which bands are taken; the model's by default.

    Raises:
        SifnetError: another sensor, another kind of light, or bands in which the components that
            the network reads cannot be seen.
    """
    mine = model.made_for
    wanted = Setup.of_scene(scene, window=window or mine.window)
    if mine.suits(wanted):
        return model
    if not (wanted.sensor == mine.sensor and wanted.irradiance == mine.irradiance is False):
        mine.refuse_other(scene)
    unexplained = 1.0
    enough = len(wanted.wavelength) >= min(mine.architecture.features, len(mine.wavelength) - 1)
    if enough:
        setup = replace(
            mine,
            wavelength=wanted.wavelength,
            fwhm=wanted.fwhm,
            response=wanted.response,
            window=wanted.window,
            lines=(),
        )
        other = Retrieval(setup, model.emulator)
        other.predictor = model.predictor
        weights = {
            name: value
            for name, value in model.encoder.state_dict().items()
            if name != "columns" and not name.startswith("features.")
        }
        other.encoder.load_state_dict(weights, strict=False)
        unexplained = _express(model, other)
    if unexplained > UNEXPLAINED:
        raise SifnetError(
            "the model cannot read these bands",
            found=f"{len(wanted.wavelength)} bands of {wanted.fwhm[0]:.2f} nm"
            + (f" that leave {unexplained:.0%} of a component unseen" if enough else ""),
            expected=f"about {len(mine.wavelength)} bands of {mine.fwhm[0]:.2f} nm over "
            f"{mine.wavelength[0]:.0f}-{mine.wavelength[-1]:.0f} nm",
            remedy="Pre-train a model for this spectrometer with `sifnet pretrain`.",
            file=(scene.dataset.attrs["source_files"] or [None])[0],
        )
    return other.eval()


@torch.no_grad()
def _express(model: Retrieval, other: Retrieval) -> float:
    """Set the features of ``other`` to what those of ``model`` would read of the same light.

    Linear regression of the components on the other log spectrum, noise of which counts as
    the usual ridge (Tikhonov): P = (X'X / n + N)^-1 X'F / n.

    Returns:
        The largest share of a component's variance, noise included, that is left unexplained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pixels, state = Simulation(model, anywhere(model.emulator), patches=128).draw()
    read = model.encoder.features(_lit(model, pixels, state)).flatten(0, -2).double()
    seen = _lit(other, pixels, state)
    x = log_spectrum(seen).flatten(0, -2).double()
    noise = (seen.noise / seen.radiance).flatten(0, -2).double()
    mean, level = x.mean(0), read.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x) + torch.diag((noise**2).mean(0))
    projection = torch.linalg.solve(covariance, (x - mean).T @ (read - level) / len(x))
    features = other.encoder.features
    features.projection.copy_(projection)
    # level = (x - mean') P at x = mean, with the smallest mean' that does it.
    features.mean.copy_(mean - torch.linalg.lstsq(projection.T, level[:, None]).solution[:, 0])
    left = read - level - (x - mean) @ projection
    return float(left.var(0).max())  # components have unit variance


def _lit(model: Retrieval, pixels: Pixels, state: State) -> Pixels:
    """The pixels under the model's instrument, without noise in the radiance."""
    radiance = simulate(state, pixels.geometry, model.emulator, model.instrument)
    return replace(pixels, radiance=radiance, noise=noise_sd(radiance, model.made_for.sensor))


def pretrain(
    sensor: str,
    output: str | Path,
    *,
    steps: int = 12_000,
    seed: int = 0,
    architecture: Architecture = Architecture(),
    emulator: Emulator | None = None,
    progress: bool = False,
) -> Path:
    """Train a start model on simulations over the whole range of an emulator, and save it.

    An interrupted training goes on from its last epoch when called again.

    Args:
        output: the checkpoint; beside it, while training, a folder with what is done.
        emulator: the shipped one by default, for space where the sensor predicts shapes.

    Raises:
        SifnetError: the sensor is not known, or the output cannot be written.
    """
    output = Path(output)
    folder = output_folder(output.with_name(output.name + ".training"))
    lightning.seed_everything(seed, verbose=False)
    usual, predictor = nominal_of(sensor), None
    if usual.predicts_shape:
        from sifnet.shape_training import learn

        predictor = learn(sensor, seed=seed, progress=progress)
    emulator = emulator or Emulator.load(space=usual.space)
    model = untrained(sensor, emulator, architecture, predictor)
    simulation = Simulation(model, anywhere(model.emulator))
    learn_simulations(model, simulation, steps, folder=folder, progress=progress)
    model.save(output)
    shutil.rmtree(folder)
    return output


def learn_simulations(
    model: Retrieval,
    simulation: Simulation,
    steps: int,
    *,
    learning_rate: float = 4e-3,
    folder: Path | None = None,
    **trainer_options: Any,
) -> None:
    """Freeze the encoder's features by simulated pixels, and train it on their known states.

    Args:
        folder: where a training that may be interrupted is kept, and goes on from.
        trainer_options: see ``trainer.make_trainer``.
    """
    model.encoder.features.freeze(join([simulation.draw()[0] for _ in range(4)]))
    if steps == 0:
        return
    epoch = steps if folder is None else min(steps, EPOCH)
    trainer = make_trainer(
        epochs=steps // epoch, steps_per_epoch=epoch, folder=folder, **trainer_options
    )
    last = None if folder is None else folder / "last.ckpt"
    model.encoder.train()
    loader: DataLoader[Any] = DataLoader(simulation, batch_size=None)
    resume = last if last is not None and last.exists() else None
    run(trainer, Pretraining(model.encoder, learning_rate), loader, resume)
    model.encoder.eval()
