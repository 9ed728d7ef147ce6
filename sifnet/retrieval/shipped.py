"""The model that ships, and any model on bands that it was not trained on.

It learned on simulations over the whole range of the emulator (`sifnet pretrain`), so that a fit
starts from it and a map may do without a fit. Spectrometers of one kind differ in their bands; the
network reads components of the spectrum, and these can be expressed in other bands.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sifnet.errors import SifnetError
from sifnet.files import data_file
from sifnet.physics.emulator import Emulator
from sifnet.physics.noise import noise_sd
from sifnet.physics.state import State
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.emission import TABLE
from sifnet.retrieval.encoder import log_spectrum
from sifnet.retrieval.model import Retrieval, Setup, instrument_for, load
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.without_network import from_prior, needs_no_network
from sifnet.scenes import sensors
from sifnet.scenes.scene import Scene
from sifnet.scenes.sensor import FIT_WINDOW

UNEXPLAINED = 0.5  # of a component's variance, noise included, that other bands may leave


def shipped_file(scene: Scene) -> Path | None:
    """What ships for the bands and the kind of light of a scene, None where nothing does.

    Under measured irradiance, where no network is needed, the emission of canopies. Else a
    checkpoint: that of its sensor, where the record names one, or the one of the same side of the
    air whose window the bands cover and whose widths are nearest. Whether it can read these bands
    is seen in ``on_bands_of``.
    """
    if scene.irradiance is not None:
        return data_file(TABLE)
    if scene.sensor.start_model is not None:
        return data_file(scene.sensor.start_model)
    width, low, high = _resolution(scene)
    alike = {
        float(abs(np.log(width / sensor.fwhm))): sensor.start_model
        for sensor in sensors().values()
        if sensor.start_model is not None
        and sensor.space == scene.space
        and low - width <= sensor.window[0]
        and high + width >= sensor.window[1]
    }
    return data_file(alike[min(alike)]) if alike else None


def _resolution(scene: Scene) -> tuple[float, float, float]:
    """Width of bands in the usual window, and the first and last of all, nm."""
    inside = (scene.wavelength >= FIT_WINDOW[0]) & (scene.wavelength <= FIT_WINDOW[1])
    return (
        float(np.median(scene.fwhm[inside])),
        float(scene.wavelength[0]),
        float(scene.wavelength[-1]),
    )


def model_for(scene: Scene, model: str | Path | Retrieval | None = None) -> Retrieval:
    """The given model, or else the one that ships, on the bands of the scene.

    None ships for a sensor in space that resolves the lines: its search starts from the prior.

    Raises:
        SifnetError: the sensor can be inspected only, no model ships for it, or the model cannot
            read these bands.
    """
    refuse_measured_light(scene)
    if isinstance(model, Retrieval):
        return on_bands_of(model, scene)
    path = model or shipped_file(scene)
    if path is None and needs_no_network(scene):
        return from_prior(scene)
    if path is None:
        Setup.of_scene(scene, Emulator.load(space=scene.space))  # which says what is wrong with it
        width, low, high = _resolution(scene)
        offered = ", ".join(
            f"{s.fwhm:g} nm over {s.window[0]:g}-{s.window[1]:g} nm "
            f"{'from space' if s.space else 'from below'} ({name})"
            for name, s in sensors().items()
            if s.start_model
        )
        raise SifnetError(
            "no pre-trained model ships for this scene",
            found=f"{scene.sensor.name}, {width:.3g} nm over {low:.0f}-{high:.0f} nm "
            f"{'from space' if scene.space else 'from below'}",
            expected=f"bands like {offered}",
            remedy="Fit a model with `sifnet.fit(scene)`, and retrieve with it.",
            command="Fit a model to the scene with `sifnet fit`, and give it with --model.",
            file=scene.file,
        )
    return on_bands_of(load(path), scene)


def refuse_measured_light(scene: Scene) -> None:
    """Refuse a model for a scene that needs none.

    Raises:
        SifnetError: the scene brings the irradiance under which it was measured.
    """
    if scene.irradiance is None:
        return
    raise SifnetError(
        "measured irradiance needs no model and no fit",
        found=f"{scene.sensor.name} with measured irradiance",
        expected="radiance without it, which needs the air to be simulated",
        remedy="Call `sifnet retrieve` without --model: every spectrum is solved by itself.",
        file=scene.file,
    )


def on_bands_of(
    model: Retrieval, scene: Scene, window: tuple[float, float] | None = None
) -> Retrieval:
    """The model itself if it was made for the scene's bands, else the same network on these bands.

    Args:
        window: nm, from which bands are taken; the model's by default.

    Raises:
        SifnetError: another kind of light, the other side of the air, or bands in which the
            components that the network reads cannot be seen.
    """
    mine = model.setup
    wanted = Setup.of_scene(scene, model.emulator, window or mine.window)
    if mine.suits(wanted):
        return model
    if wanted.space != mine.space:
        raise mine.other(wanted, scene)
    unexplained = 1.0
    enough = len(wanted.wavelength) >= min(mine.architecture.features, len(mine.wavelength) - 1)
    if enough:
        setup = replace(
            mine,
            sensor=wanted.sensor,
            wavelength=wanted.wavelength,
            fwhm=wanted.fwhm,
            response=wanted.response,
            window=wanted.window,
            features=model.encoder.features.projection.shape[1],
            lines=(),
        )
        bands = setup.wavelength, setup.fwhm, model.emulator, setup.response
        alike = setup.sensor == mine.sensor  # it may be moved a little
        nodes: dict[str, Any] = {"fewest": model.instrument.nodes} if alike else {}
        instrument = instrument_for(setup.sensor, *bands, **nodes)
        other = Retrieval(setup, model.emulator, instrument)
        other.predictor, other.made_by = model.predictor, model.made_by
        named = model.encoder.state_dict().items()
        weights = {n: w for n, w in named if n != "columns" and not n.startswith("features.")}
        other.encoder.load_state_dict(weights, strict=False)
        unexplained = _express(model, other)
    if unexplained > UNEXPLAINED:
        raise SifnetError(
            "the model cannot read these bands",
            found=f"{len(wanted.wavelength)} bands of {wanted.fwhm[0]:.2f} nm"
            + (f" that leave {unexplained:.0%} of a component unseen" if enough else ""),
            expected=f"about {len(mine.wavelength)} bands of {mine.fwhm[0]:.2f} nm over "
            f"{mine.wavelength[0]:.0f}-{mine.wavelength[-1]:.0f} nm",
            remedy="Fit one with `sifnet.fit(scene)`, which learns on simulations of these bands.",
            command="Fit one with `sifnet fit`, which learns on simulations of these bands.",
            file=scene.file,
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
        pixels, state, _ = Draws(model, anywhere(model.emulator), patches=128).unlit()
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
    """The pixels under the model's instrument, without noise and without a shape of reflectance."""
    radiance = model.simulator.radiance(state, pixels.geometry)
    noise = noise_sd(radiance, model.setup.sensor.shot_noise)
    return replace(pixels, radiance=radiance, noise=noise, shape_prior=None)
