"""Why this value: the spectra behind pixels, measured and fitted, and what in them is fluorescence.

The pixels are solved again as ``strips`` solved them, under what the line shares, so that what is
shown is the fit of the map itself. Beside it stands what the encoder alone said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from sifnet.physics.forward import Simulator
from sifnet.physics.precision import exact
from sifnet.physics.state import Atmosphere, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.device import made_on
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.pixels import Pixels, read
from sifnet.retrieval.shared import Shared, reading
from sifnet.retrieval.strips import POOR_FIT, block_lines, line_simulator, surfaces
from sifnet.scenes.scene import Scene
from sifnet.units import RADIANCE

KEPT = 256  # spectra of a scene that go with its product
ACROSS = 16  # of them on a line, where there are as many lines
SUMMED = 32  # pixels of such a line that mean residuals are taken of
WAVELENGTH = {"long_name": "band centres, in vacuum", "units": "nm"}
PARAMETERS = (
    "sif_760", "reflectance_740", "reflectance_slope", *Atmosphere.names(), *SensorState.names()
)  # fmt: skip
"""What is told of every pixel: of its ground, of its air, of the sensor."""
UNITS = {
    name: entry.unit
    for part in (Surface, Atmosphere, SensorState)
    for name, entry in part.parameters().items()
} | {"reflectance_740": "1", "reflectance_slope": "nm-1"}
ON_BANDS = {
    "measured": ("radiance at the sensor, measured", RADIANCE),
    "fitted": ("radiance at the sensor, as the retrieval explains it", RADIANCE),
    "fluorescence": ("part of the fitted radiance that is fluorescence", RADIANCE),
    "noise": ("standard deviation of the measured radiance", RADIANCE),
    "residual": ("measured less fitted radiance, over its noise", "1"),
    "encoder": ("radiance as the encoder alone explains it", RADIANCE),
    "encoder_residual": ("measured less the encoder's radiance, over its noise", "1"),
}
OF_PARAMETERS = {
    "value": "as retrieved",
    "prior": "known beforehand",
    "prior_sd": "uncertainty of what is known beforehand, one standard deviation",
    "encoder_value": "as the encoder alone says",
}


class Explainer:
    """What tells the fits of some columns of a scene.

    Variables of what it tells are ON_BANDS on bands, OF_PARAMETERS on PARAMETERS, and
    ``chi2_reduced``; coordinates ``line``, ``sample`` and ``wavelength`` (pixel, band), where a
    band of this column really is. Pixels that are not usable are left out.

    Args:
        shared: what the pixels of the scene share.
        column: numbers of the columns.
        refine: as the scene was mapped with.
        moved: nm, by which the bands of the scene were moved before the retrieval.
    """

    def __init__(
        self,
        model: Retrieval,
        shared: Shared,
        column: NDArray[np.intp],
        *,
        refine: bool = True,
        moved: float = 0.0,
    ) -> None:
        self.model, self.shared, self.refine, self.moved = model.eval(), shared, refine, moved
        self.column = torch.as_tensor(np.asarray(column), dtype=torch.long)
        self.said = shared if shared.said is None else shared.said
        self.simulators = [line_simulator(model, s, self.column) for s in (shared, self.said)]

    def tell(
        self, blocks: Pixels, middle: Tensor, lines: Mapping[int, tuple[int, int]]
    ) -> xr.Dataset:
        """The fits of some lines.

        Args:
            blocks: of the whole width of the scene.
            middle: of every block, in lines.
            lines: block, and line in the block, by the number of a line.
        """
        device = self.model.device
        block, line = torch.tensor(list(lines.values())).unbind(-1)
        chosen = _lines(blocks, block, line).samples(self.column).map(lambda x: x.to(device))
        at = middle[block].to(device), self.column.to(device)
        with made_on(device), exact():
            found, encoder = (
                _fit(self.model, simulator, shared, chosen, at, refine=refine)
                for simulator, shared, refine in zip(
                    self.simulators, (self.shared, self.said), (self.refine, False), strict=True
                )
            )
        return _labelled(chosen.map(Tensor.cpu), found, encoder, list(lines), self.moved)


def explain(
    scene: Scene,
    model: Retrieval,
    shared: Shared,
    mask: NDArray[np.bool_],
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
) -> Iterator[xr.Dataset]:
    """The fits of the pixels of a mask (line, sample), some lines at a time; see ``Explainer``.

    Args:
        atmosphere, refine: as the scene was mapped with.
    """
    height, moved = block_lines(shared, refine=refine), _moved(scene)
    options = reading(scene, model, atmosphere)
    for start in range(0, scene.shape[0], height):
        here = mask[start : start + height]
        if not here.any():
            continue
        lines = slice(start, start + len(here))
        block = read(scene, lines, (height, scene.shape[1]), **options)
        explainer = Explainer(
            model, shared, np.flatnonzero(here.any(0)), refine=refine, moved=moved
        )
        wanted = {start + int(line): (0, int(line)) for line in np.flatnonzero(here.any(1))}
        told = explainer.tell(block, torch.tensor([start + 0.5 * height]), wanted)
        yield told.isel(pixel=np.flatnonzero(mask[told["line"], told["sample"]]))


def _moved(scene: Scene) -> float:
    return float(scene.dataset.attrs.get("registered_shift", 0.0))


def _lines(blocks: Pixels, block: Tensor, line: Tensor) -> Pixels:
    """Some lines of blocks, each as a block of its own."""

    def of(values: Tensor) -> Tensor:
        alike = values.dim() < 3 or values.shape[1] == 1  # for all lines of a block
        return values[block] if alike else values[block, line][:, None]

    return blocks.map(of)


@torch.no_grad()
def _fit(
    model: Retrieval,
    simulator: Simulator,
    shared: Shared,
    pixels: Pixels,
    at: tuple[Tensor, Tensor],
    *,
    refine: bool,
) -> dict[str, Tensor]:
    """``line, sample, band`` of the fit, ``line, sample, parameter``, and chi-square."""
    fit, _, transfer = surfaces(model, simulator, pixels, shared, at, refine=refine)
    light = simulator.light(
        fit.state, pixels.geometry, shape_prior=pixels.shape_prior, transfer=transfer
    )
    wavelength = simulator.wavelength(fit.state.sensor).expand(light.value.shape)
    _, emitted = fit.state.surface.spectra(wavelength)
    fitted = light.value + (shared.stray * pixels.stray)[..., None]
    found = {
        "wavelength": wavelength,
        "fitted": fitted,
        "fluorescence": emitted * light.to_sif,
        "residual": (pixels.radiance - fitted) / pixels.noise,
        "value": _parameters(pixels, fit.state),
        "chi2": fit.chi2,
    }
    return {name: values[:, 0].cpu() for name, values in found.items()}


def _parameters(pixels: Pixels, state: State) -> Tensor:
    """``patch, line, sample, parameter`` in the order of PARAMETERS."""
    level, slope = state.surface.at_740()
    if pixels.shape_prior is not None:
        level, slope = pixels.shape_prior.label_740(level, slope)
    told = (state.surface.sif_760, level, slope, *dict(state.atmosphere.items()).values(),
            *dict(state.sensor.items()).values())  # fmt: skip
    return torch.stack([value.expand(pixels.usable.shape) for value in told], -1)


def _prior(pixels: Pixels) -> list[Tensor]:
    """Mean and standard deviation ``line, sample, parameter``, NaN where nothing is known."""
    shape = pixels.usable.shape
    known = pixels.expected
    if known is None and pixels.shape_prior is not None:
        known = pixels.shape_prior.sif_760
    parts = []
    for number, part in enumerate((pixels.prior.mean, pixels.prior.sd)):
        told = torch.full((*shape, len(PARAMETERS)), torch.nan)
        for name, value in part.items():
            told[..., PARAMETERS.index(name)] = value.expand(shape)
        if known is not None:
            told[..., 0] = known[..., number]
        parts.append(told[:, 0])
    return parts


def _labelled(
    pixels: Pixels,
    found: dict[str, Tensor],
    encoder: dict[str, Tensor],
    lines: list[int],
    moved: float,
) -> xr.Dataset:
    usable = pixels.usable[:, 0]
    prior, prior_sd = _prior(pixels)
    bands = {name: found[name] for name in ("fitted", "fluorescence", "residual")} | {
        "measured": pixels.radiance[:, 0],
        "noise": pixels.noise[:, 0],
        "encoder": encoder["fitted"],
        "encoder_residual": encoder["residual"],
    }
    values = {
        "value": found["value"],
        "prior": prior,
        "prior_sd": prior_sd,
        "encoder_value": encoder["value"],
    }
    for name in ("value", "encoder_value"):
        values[name][..., PARAMETERS.index("wavelength_shift")] += moved
    number = torch.tensor(lines)[:, None].expand(usable.shape), pixels.column
    told: dict[str, Any] = {
        name: (("pixel", "band"), bands[name][usable].numpy(), {"long_name": text, "units": unit})
        for name, (text, unit) in ON_BANDS.items()
    } | {
        name: (("pixel", "parameter"), values[name][usable].numpy(), {"long_name": text})
        for name, text in OF_PARAMETERS.items()
    }
    told["chi2_reduced"] = "pixel", found["chi2"][usable].numpy(), {"units": "1"}
    told["wavelength"] = ("pixel", "band"), found["wavelength"][usable].numpy(), WAVELENGTH
    for name, values_ in zip(("line", "sample"), number, strict=True):
        told[name] = "pixel", values_[usable].numpy()
    told |= {"parameter": list(PARAMETERS)}
    told["unit"] = "parameter", [UNITS[name] for name in PARAMETERS]
    return xr.Dataset(told).set_coords(["wavelength", "line", "sample", "unit"])


class Sample:
    """Fits of some pixels all over a scene, gathered while it is mapped.

    What is kept says why without the scene, and how residuals are on the average.

    Attributes:
        told: of the pixels kept, see ``Explainer``.
        residual, counted: sum over ``counted`` pixels of their residuals, in units of noise.
    """

    def __init__(self, scene: Scene, model: Retrieval, shared: Shared, *, refine: bool = True):
        count, width = scene.shape[:2]
        down = min(count, max(1, KEPT // min(width, ACROSS)))
        column = _evenly(width, SUMMED)
        self.lines = _evenly(count, down)
        self.columns = column[_evenly(len(column), KEPT // down)]
        self.explainer = Explainer(model, shared, column, refine=refine, moved=_moved(scene))
        self.height = block_lines(shared, refine=refine)
        self.parts: list[xr.Dataset] = []
        self.residual, self.counted = np.zeros(len(model.setup.wavelength)), 0

    def see(self, window: slice, blocks: Pixels, middle: Tensor) -> None:
        """Keep what a strip of blocks has of it."""
        here = self.lines[(self.lines >= window.start) & (self.lines < window.stop)]
        if not len(here):
            return
        lines = {int(n): divmod(int(n) - window.start, self.height) for n in here}
        told = self.explainer.tell(blocks, middle, lines)
        good = told["chi2_reduced"].values < POOR_FIT
        self.residual += told["residual"].values[good].sum(0, dtype=float)
        self.counted += int(good.sum())
        kept = np.isin(told["sample"].values, self.columns)
        self.parts.append(told.isel(pixel=np.flatnonzero(kept)))

    def kept(self) -> xr.Dataset:
        """All that was kept, and ``mean_residual`` (band) of ``counted`` pixels."""
        told = xr.concat(self.parts, "pixel", data_vars="minimal", coords="minimal")
        mean = self.residual / max(1, self.counted)
        text = {"long_name": "mean residual over the scene, over noise", "units": "1"}
        return told.assign(
            mean_residual=("band", mean.astype(np.float32), text | {"pixels": self.counted})
        )


def _evenly(length: int, most: int) -> NDArray[np.intp]:
    """At most so many indices, the middles of equal parts."""
    parts = min(length, most)
    return ((np.arange(parts) + 0.5) * length / parts).astype(np.intp)
