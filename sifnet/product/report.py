"""The page to judge a fit by: maps, and for every pixel of them why its value is what it is.

It is one file that needs no network: it holds its scripts, thinned maps in 16 bits, and the
spectra that the products keep.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike, NDArray

from sifnet.product.axes import maps
from sifnet.product.kept import kept_spectra
from sifnet.product.labels import headline, place
from sifnet.product.layout import LONG
from sifnet.product.netcdf import flag_shares, opened, trusted
from sifnet.product.page import scenes, write_page
from sifnet.product.provenance import told
from sifnet.product.verdict import verdict
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.scenes.scene import FLAGS
from sifnet.units import RADIANCE

MOST_PIXELS = 240_000  # of all maps of a page together, so that it stays below 10 MB
MOST_SPECTRA = 1_500  # of all scenes of a page together
EMPTY = 65535  # of 16 bits, where a map has no value
UNIT = "mW m⁻² nm⁻¹ sr⁻¹"
LAYERS = (  # variable, title, colours, whether zero belongs to the scale
    ("sif_760", "SIF at 760 nm", "viridis", True),
    ("sif_740", "SIF at 740 nm", "viridis", True),
    ("sif_760_uncertainty", "σ of SIF at 760 nm", "magma", False),
    ("sif_740_uncertainty", "σ of SIF at 740 nm", "magma", False),
    ("chi2_reduced", "χ² of the fit", "inferno", False),
    ("reflectance_740", "near infrared: reflectance at 740 nm", "gray", False),
    ("ndvi_radiance", "NDVI of radiances", "YlGn", False),
    ("surface_pressure", "surface pressure", "cividis", False),
    ("aot_550", "aerosol optical thickness", "copper", False),
    ("residual_rms", "residual radiance (rms)", "inferno", False),
)
FLAG_COLOURS = ("#dfe7e3", "#000000", "#8c1d18", "#e07b00", "#f7d046", "#b5179e", "#5e60ce",
                "#adb5bd", "#9c6644", "#ffffff", "#343a40", "#90e0ef", "#0077b6", "#d0b8ac",
                "#e63946", "#ff8fa3", "#6c757d")  # fmt: skip
WORDS = {  # of PARAMETERS
    "sif_760": "SIF at 760 nm",
    "reflectance_740": "reflectance at 740 nm",
    "reflectance_slope": "its slope at 740 nm",
    "surface_pressure": "surface pressure",
    "temperature_offset": "temperature offset",
    "aot_550": "aerosol thickness (550 nm)",
    "aerosol_height": "aerosol scale height",
    "aerosol_type": "aerosol type (1: maritime)",
    "o2_scale": "strength of oxygen",
    "wavelength_shift": "shift of bands",
    "fwhm_shift": "change of width",
}
AIR = ("surface_pressure", "temperature_offset", "aot_550", "aerosol_height", "aerosol_type",
       "o2_scale")  # fmt: skip


def write_report(products: Sequence[Path], path: str | Path, *, log: Path | None = None) -> Path:
    """Write a self-contained page.

    Args:
        products: files.
        log: the fit's table of losses (CSV with columns ``epoch`` and ``loss``), if there is one.

    Raises:
        SifnetError: a product cannot be read, or the page cannot be written.
    """
    from sifnet.product.report_figures import figures, resources

    share = max(1, len(products))
    told = []
    for product in products:
        with opened(product) as file:
            told.append(_told(file, MOST_PIXELS // share, MOST_SPECTRA // share))
    script, divs = figures()
    losses = _losses(log)
    data = {"scenes": [one.pop("data") for one in told], "losses": losses}
    return write_page(
        Path(path),
        "report.html",
        title=scenes(len(products)),
        told=told,
        # A name that looks like a tag must not be one.
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        bokeh=resources(),
        script=script,
        figure=divs,
        losses=bool(losses),
        unit=UNIT,
    )


def _told(product: xr.Dataset, most: int, spectra: int) -> dict[str, Any]:
    """What the page says of a scene in words, and its ``data`` for the script."""
    lines, samples = product["sif_760"].shape
    step = max(1, int(np.ceil(np.sqrt(lines * samples / most))))
    by = dict(zip(product["sif_760"].dims, (slice(None, None, step),) * 2, strict=True))
    thin = product.isel({name: part for name, part in by.items() if product.sizes[name] > 1}).load()
    kept = kept_spectra(product)
    judged = verdict(product, kept)
    attributes = told(product)
    good = trusted(thin)
    return {
        "name": str(attributes["scene"]),
        "sensor": str(attributes["sensor"]),
        "time": str(attributes["acquisition_time"]).replace("T", " ")[:19],
        "verdict": judged,
        "size": f"{lines} lines × {samples} samples",
        "trusted": f"{100 * good.mean():.1f} % of pixels trusted",
        "flags": [
            (name.replace("_", " "), f"{100 * share:.2f} %")
            for name, share in flag_shares(thin).items()
        ],
        "statistics": _statistics(thin, good),
        "provenance": [(n.replace("_", " "), str(v)) for n, v in attributes.items() if str(v)],
        "data": {
            "name": str(attributes["scene"]),
            "shape": list(thin["sif_760"].shape),
            "whole": [lines, samples],
            "step": step,
            "lying": lines > LONG * samples,
            **_grid(product),
            "layers": _layers(thin, good, headline(product)),
            "flags": _packed(thin["quality_flag"].values, "<u2"),
            "good": _packed(good, "u1"),
            "flag_words": {
                int(flag): [str(flag.name).lower().replace("_", " "), text]
                for flag, text in FLAGS.items()
            },
            "flag_colours": list(FLAG_COLOURS),
            "kept": None if kept is None else _kept(kept, spectra),
        },
    }  # fmt: skip


def _grid(product: xr.Dataset) -> dict[str, Any]:
    """Where a pixel lies on a map, and how large it is, as far as that is known."""
    located = place(product)
    if located is None or located[1].b or located[1].d:
        return {"grid": None, "metres": None}
    crs, affine = located
    degrees = crs.is_geographic
    middle = affine.f + affine.e * product["sif_760"].shape[0] / 2
    metres = 111_320.0 * float(np.cos(np.radians(middle))) if degrees else 1.0
    return {
        "grid": {
            "x": affine.c, "y": affine.f, "dx": affine.a, "dy": affine.e, "crs": crs.name,
            "axes": ["longitude, °", "latitude, °"] if degrees else ["easting, m", "northing, m"],
        },
        "metres": metres,
    }  # fmt: skip


def _layers(product: xr.Dataset, good: NDArray[np.bool_], first: str) -> list[dict[str, Any]]:
    """LAYERS that have a value, those of what the sensor is looked at for first."""
    layers = []
    for name, title, colours, zero in LAYERS:
        other = name.endswith("_uncertainty") and not name.startswith(first)
        if other or name not in product or not np.isfinite(product[name].values).any():
            continue
        values = product[name].values.astype(float)
        low, high = _span(values[good] if good.any() else values, zero=zero)
        palette = [to_hex(colour) for colour in colormaps[colours](np.linspace(0, 1, 128))]
        unit = str(product[name].attrs.get("units", ""))
        layers.append({
            "name": name, "title": title, "low": low, "high": high, "palette": palette,
            "usual": _usual(values[good]), "unit": _unit(unit), **_quantised(values),
        })  # fmt: skip
    return sorted(layers, key=lambda layer: layer["name"] != first)


def _usual(values: NDArray[np.float64]) -> list[float | None]:
    """Of trusted pixels 5 %, median, 95 %."""
    finite = values[np.isfinite(values)]
    return _rounded(np.quantile(finite, (0.05, 0.5, 0.95)), 6) if finite.size else [None] * 3


def _unit(unit: str) -> str:
    return UNIT if unit == RADIANCE else unit.replace("-1", "⁻¹").removeprefix("1")


def _span(values: ArrayLike, *, zero: bool) -> tuple[float, float]:
    """Where colours begin and end: all but a hundredth at each end, or the same nearly."""
    finite = np.asarray(values)[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(x) for x in np.quantile(finite, (0.01, 0.99)))
    low = min(low, 0.0) if zero else low
    return low, max(high, low + 1e-6 + 1e-4 * abs(low))


def _quantised(values: NDArray[np.float64]) -> dict[str, Any]:
    """16 bits a value between the least and the largest that are believed, EMPTY for none."""
    finite = values[np.isfinite(values)]
    low, high = (float(x) for x in np.quantile(finite, (0.01, 0.99)))
    room = 20 * (high - low) + 1e-6  # beyond which a value is only told to be beyond
    low, high = max(float(finite.min()), low - room), min(float(finite.max()), high + room)
    step = max(high - low, 1e-9) / (EMPTY - 1)
    filled = np.where(np.isfinite(values), values, low)
    whole = np.clip(np.round((filled - low) / step), 0, EMPTY - 1)
    return {
        "values": _packed(np.where(np.isfinite(values), whole, EMPTY), "<u2"),
        "start": low,
        "step": step,
    }


def _packed(values: ArrayLike, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def _kept(kept: xr.Dataset, most: int) -> dict[str, Any]:
    """Spectra with their fits, and what the line shares."""
    chosen = np.unique(np.linspace(0, kept.sizes["pixel"] - 1, most).astype(int))
    some = kept.isel(pixel=chosen)
    columns = {n: some[n].values for n in ("fitted", "fluorescence", "noise")}
    spectra = {n: _packed(np.nan_to_num(v), "<f4") if n == "fitted" else _scaled(v)
               for n, v in columns.items()}  # fmt: skip
    names = zip(kept["parameter"].values.astype(str), kept["unit"].values.astype(str), strict=True)
    return {
        "line": some["line"].values.tolist(),
        "sample": some["sample"].values.tolist(),
        "wavelength": _rounded(some["wavelength"].values.mean(0), 4),
        "shifts": _rounded((some["wavelength"] - some["wavelength"].mean("pixel")).mean("band"), 4),
        **spectra,
        "residual": _packed(np.clip(some["residual"] * 100, -32767, 32767).round(), "<i2"),
        "encoder_residual": _packed(
            np.clip(some["encoder_residual"] * 100, -32767, 32767).round(), "<i2"
        ),
        "parameters": [[WORDS.get(n, n), _unit(u)] for n, u in names],
        **{n: [_rounded(row, 6) for row in some[n].values]
           for n in ("value", "prior", "prior_sd", "encoder_value")},
        "chi2": _rounded(some["chi2_reduced"], 3),
        "mean_residual": _rounded(kept["mean_residual"], 4),
        "counted": int(kept["mean_residual"].attrs["pixels"]),
        "air": [[WORDS[n], *_rounded(_air(kept, n), 4)] for n in AIR],
        "components": _rounded(kept["errors"][1:], 3),
        "sensor": [_rounded(column, 5) for column in kept["sensor"].values.T],
        "encoder_sensor": [_rounded(column, 5) for column in kept["encoder_sensor"].values.T],
        "stray": STRAY_SD * float(kept["errors"][0]),
        "refined": bool(kept.attrs["refined"]),
    }  # fmt: skip


def _air(kept: xr.Dataset, name: str) -> tuple[float, float, float, float]:
    """Median value, prior, its sd, and deviation in sd."""
    at = kept["parameter"].values.tolist().index(name)
    value, prior, sd = (
        float(np.nanmedian(kept[n].values[:, at])) for n in ("value", "prior", "prior_sd")
    )
    return value, prior, sd, float(np.median(kept["air_deviation"].values[..., AIR.index(name)]))


def _scaled(values: NDArray[np.float32]) -> dict[str, Any]:
    step = float(np.abs(values).max()) / 32767 or 1.0
    return {"values": _packed(np.round(values / step), "<i2"), "step": step}


def _rounded(values: ArrayLike, digits: int) -> list[float | None]:
    """JSON has no NaN."""
    return [round(float(v), digits) if np.isfinite(v) else None for v in np.asarray(values)]


def _statistics(product: xr.Dataset, good: NDArray[np.bool_]) -> list[list[str]]:
    """Rows of name, unit, mean, sd, 5 %, median, 95 % over trusted pixels of maps that have any."""
    rows = []
    for name in maps(product.drop_vars(["quality_flag", "quality_flag_687"], errors="ignore")):
        variable = product[name]
        values = variable.values[good].astype(float)
        values = values[np.isfinite(values)]
        if values.size:
            low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
            numbers = (values.mean(), values.std(), low, middle, high)
            unit = str(variable.attrs.get("units", ""))
            rows.append([str(name), unit, *(f"{number:.4g}" for number in numbers)])
    return rows


def _losses(log: Path | None) -> list[dict[str, Any]]:
    """The loss over the epochs, and the terms it is the sum of."""
    if log is None or not log.is_file():
        return []
    losses = pd.read_csv(log)
    if not {"epoch", "loss"} <= set(losses.columns) or losses["loss"].notna().sum() < 2:
        return []
    losses = losses.groupby("epoch").mean(numeric_only=True).drop(columns="step", errors="ignore")
    losses = losses[[name for name in losses.columns if (losses[name] > 0).any()]]
    return [
        {"name": str(name), "x": losses.index.tolist(), "y": _rounded(losses[name], 6)}
        for name in losses.columns
    ]
