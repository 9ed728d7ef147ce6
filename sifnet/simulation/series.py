"""A day of a field spectrometer with known truth: down- and upwelling light over one canopy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.interpolate import CubicSpline

from sifnet.physics.full.database import GRID
from sifnet.physics.full.radiative_transfer import Observer
from sifnet.scenes import sun
from sifnet.simulation import scenery
from sifnet.simulation.flox_product import write_flox
from sifnet.simulation.ground import Ground

BANDS = (745.0, 778.0)  # nm
HEIGHT = 0.0025  # km above the canopy
SUNS = 8  # angles at which light is computed
LEVEL = 84.5  # mW m-2 nm-1 sr-1, at which the ratio of a pair scatters as the sensor's record says


def simulate_series(order: scenery.Order) -> Path:
    """Write E / pi and L of every measurement, and the truth; see ``simulation.simulate``."""
    settings, sensor, rng, lines = order.settings, order.sensor, order.rng, order.shape[0]
    ground = Ground.drawn((lines, 1), 0.0, rng)
    still = {name: values[:1].repeat(lines, 0) for name, values in vars(ground).items()}
    course = np.sin(np.linspace(0.15, np.pi - 0.15, lines))
    ground = Ground(**still | {"sif_760": still["sif_760"] * course[:, None]})
    times, sza = sun.solar_course(scenery.NOON, lines, **scenery.PLACE)
    nodes = np.linspace(sza.min(), sza.max(), min(lines, SUNS))
    below = [Observer(0.0, 0.0, HEIGHT)]
    light = np.stack([scenery.products_of(settings, a, below)[0] for a in track(nodes, "sun")])
    light[:, :3] /= np.cos(np.radians(nodes))[:, None, None]
    at_time = CubicSpline(nodes, light)(sza) if len(nodes) > 1 else light.repeat(lines, 0)
    at_time[:, :3] *= np.cos(np.radians(sza))[:, None, None]

    wavelength = scenery.band_centres(*BANDS, sensor.sampling)
    response = scenery.responses(wavelength + settings.shift, sensor.fwhm)
    reflected = scenery.radiance_over(ground, GRID, at_time)
    # Irradiance over the target contains what the sky returns of the target's own light.
    _, lit, bounce, up, _ = at_time.transpose(1, 0, 2)
    incoming = lit / up / (1 - ground.reflectance(GRID)[:, 0] * bounce / lit)
    noise = settings.noise / np.sqrt(2 * LEVEL)  # of both, relative
    incoming, reflected = (
        spectra @ response.T * (1 + noise * rng.standard_normal((lines, wavelength.size)))
        for spectra in (incoming, reflected)
    )
    scene = write_flox(
        order.output,
        incoming=incoming,
        reflected=reflected,
        wavelength=wavelength,
        times=times,
        ground_elevation=settings.ground_elevation,
        sensor_height=HEIGHT,
        wavelength_medium="air",
        **scenery.PLACE,
    )
    scenery.write_truth(order, ground, solar_zenith_angle=sza)
    return scene
