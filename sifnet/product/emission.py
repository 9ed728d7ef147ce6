"""What a product says of the whole emission: its spectrum, peaks and integral, each with sigma.

Of a field spectrometer they are solved from its whole spectra (``measured_light``) and lie in the
product. Of maps of SIF in the oxygen bands they follow from these and from what canopies emit
(``retrieval.whole_emission``), and are computed when asked for: ``product.sif.emission()``. Names
and attributes are the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.product.axes import axes
from sifnet.product.labels import SIF_COMMENT, described
from sifnet.product.netcdf import trusted
from sifnet.retrieval.emission import PEAKS, Emission, Measured
from sifnet.retrieval.whole_emission import whole_emission
from sifnet.units import RADIANCE

Array = NDArray[np.float64]

AXIS = "emission_wavelength"
SPECTRUM, INTEGRAL = "sif_emission_spectrum", "total_integrated_sif"
SIGMA = "_uncertainty"
PREFIXES = (SPECTRUM, INTEGRAL, *(f"sif_{name}_peak" for name in PEAKS))
SHARED = "atmosphere, sensor and shape of emission; no mean reduces it"


def emission_of(product: xr.Dataset) -> xr.Dataset:
    """Spectrum, peaks and integral of the whole emission, of a product or a window of it.

    Args:
        product: in memory or open. A pixel takes 15 KB meanwhile: a few ten thousand at a time.

    Returns:
        On the product's dimensions: ``sif_emission_spectrum`` on ``emission_wavelength`` too, 670
        to 780 nm; ``total_integrated_sif`` over these; values and places of the peaks, of the red
        one only where SIF at 687 nm is known. Of each also its ``_uncertainty``, and of numbers
        the part of that which pixels share.

    Raises:
        SifnetError: there is no uncertainty of SIF at 760 nm, with which all begins.
    """
    if SPECTRUM in product:
        own = {n: v for n, v in product.data_vars.items() if str(n).startswith(PREFIXES)}
        return product[[n for n, v in own.items() if v.dims[:2] == axes(product)]]
    if f"sif_760{SIGMA}" not in product:
        raise SifnetError(
            "the emission cannot be told",
            found=", ".join(map(str, product.data_vars)) or "no variables",
            expected=f"sif_760 and sif_760{SIGMA}, as sifnet.retrieve makes them",
            remedy="Open `<scene>_sif.nc`.",
        )
    both, shape = axes(product), product["sif_760"].shape
    far = measured(product, "sif_760")
    near, known = None, None
    if "sif_687" in product:
        known = trusted(product, "sif_687").ravel()
        near = measured(product, "sif_687", known)
    emission = whole_emission(far, near)
    numbers = peaks_and_integral(emission)
    if known is None:
        numbers = [one for one in numbers if not one.name.startswith("sif_red")]
    else:
        numbers = [_where(known, one) if one.name.startswith("sif_red") else one
                   for one in numbers]  # fmt: skip
    return as_maps(numbers, both, shape, SHARED).merge(spectrum(emission, both, shape))


class Number(NamedTuple):
    """A number of every pixel, and what it is."""

    name: str
    value: Measured
    long_name: str
    units: str
    comment: str = SIF_COMMENT


def peaks_and_integral(emission: Emission) -> list[Number]:
    """Values and places of the peaks, and the integral, as far as the wavelengths allow."""
    numbers = []
    for name, (low, high) in PEAKS.items():
        if emission.covers(low, high):
            value, place = emission.peak(name)
            what = f"largest fluorescence of the {name.replace('_', '-')} peak"
            numbers += [
                Number(f"sif_{name}_peak", value, what, RADIANCE),
                Number(f"sif_{name}_peak_wavelength", place, f"place of it ({name})", "nm"),
            ]
    if emission.covers(670.0, 780.0):
        what = "fluorescence from 670 to 780 nm"
        numbers += [Number(INTEGRAL, emission.integral(), what, "mW m-2 sr-1")]
    return numbers


def as_maps(
    numbers: Iterable[Number], both: tuple[str, str], shape: tuple[int, ...], shared: str
) -> xr.Dataset:
    """Each number as three maps: itself, its sigma, and the part of that which is not noise.

    Args:
        both: dimensions. shape: of the maps.
        shared: what makes that part.
    """
    maps = xr.Dataset()
    for name, number, what, units, comment in numbers:
        sigma = f"{name}{SIGMA}"
        told = described(what, units, comment=comment,
                         ancillary_variables=f"{sigma} quality_flag")  # fmt: skip
        spread = described(f"uncertainty of {name}, one standard deviation", units)
        common = described(f"part of the uncertainty of {name} that measurements share", units,
                           comment=shared)  # fmt: skip
        for one, values, about in (
            (name, number.value, told),
            (sigma, number.sd, spread),
            (f"{sigma}_shared", number.shared, common),
        ):
            maps[one] = both, values.astype(np.float32).reshape(shape), about
    return maps


def spectrum(emission: Emission, both: tuple[str, str], shape: tuple[int, ...]) -> xr.Dataset:
    """The emission spectra and their standard deviations, on ``AXIS`` too."""
    dimensions, wide = (*both, AXIS), (*shape, len(emission.wavelength))
    layer = xr.Dataset(
        {
            SPECTRUM: (dimensions, emission.sif.astype(np.float32).reshape(wide)),
            f"{SPECTRUM}{SIGMA}": (dimensions, emission.sd().astype(np.float32).reshape(wide)),
        },
        coords={AXIS: (AXIS, emission.wavelength, {"units": "nm", "long_name": "in vacuum"})},
    )
    layer[SPECTRUM].attrs = described("fluorescence leaving the surface", RADIANCE,
                                      ancillary_variables=f"{SPECTRUM}{SIGMA}")  # fmt: skip
    layer[f"{SPECTRUM}{SIGMA}"].attrs = described(
        f"uncertainty of {SPECTRUM}, one standard deviation", RADIANCE
    )
    return layer


def measured(product: xr.Dataset, name: str, known: NDArray[np.bool_] | None = None) -> Measured:
    """(pixel) SIF of a band and its errors; NaN where it is not ``known``."""
    value, sd = (product[n].values.astype(float).ravel() for n in (name, f"{name}{SIGMA}"))
    shared = product.get(f"{name}{SIGMA}_shared")
    common = np.zeros_like(sd) if shared is None else shared.values.astype(float).ravel()
    own = np.sqrt(np.maximum(sd**2 - np.nan_to_num(common) ** 2, 0.0))
    if known is not None:
        value = np.where(known, value, np.nan)
    return Measured(value, sd, own)


def _where(known: NDArray[np.bool_], number: Number) -> Number:
    value = Measured(*(np.where(known, x, np.nan) for x in vars(number.value).values()))
    return number._replace(value=value)
