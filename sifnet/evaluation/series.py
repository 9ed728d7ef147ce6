"""Series: the fluorescence of fields over repeated lines, each with what its mean is uncertain by.

The error of a mean has a part that all pixels of a line share, which no number of pixels reduces:
atmosphere, sensor, expected shape of reflectance (see ``product.aggregate``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.files import whole
from sifnet.product.aggregate import pooled
from sifnet.product.axes import axes
from sifnet.product.labels import place
from sifnet.product.netcdf import opened, trusted
from sifnet.product.onto_map import can_be_mapped

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from matplotlib.figure import Figure

COLUMNS = {
    "field": "name of the polygon, or `all` without polygons",
    "time": "of the acquisition, UTC",
    "scene": "of the line",
    "sensor": "that saw it",
    "pixels": "whose middle lies in the polygon",
    "trusted": "share of them that no flag speaks against",
    "covered": "share of the polygon that the map covers, where it lies on one",
    "sif": "mean of the trusted, weighted by 1 / sigma^2 not below the median, mW m-2 nm-1 sr-1",
    "sif_uncertainty": "one standard deviation of it",
    "sif_uncertainty_shared": "the part of it that all pixels of the line share",
}
NAMED = ("name", "Name", "NAME", "field", "id", "ID", "fid")  # columns that name a polygon
WHOLE = "all"
QUANTITIES = ("sif_760", "sif_740")


def series(
    products: str | Path | Sequence[str | Path],
    fields: str | Path | GeoDataFrame | None = None,
    *,
    quantity: str = "sif_760",
) -> pd.DataFrame:
    """Mean fluorescence of fields in every product, a row each, columns as in COLUMNS.

    Args:
        products: files, or the folder that they are in.
        fields: polygons, or their file (GeoJSON, GeoPackage, Shapefile, ...); without, the whole
            of every product counts.
        quantity: sif_760 or sif_740.

    Returns:
        Rows by field and time; ``attrs["notes"]`` says which products have no place for a
        polygon, and which polygon lies in none.

    Raises:
        SifnetError: no product, no polygons, or polygons without a projection.
    """
    files = _files(products)
    polygons = None if fields is None else _polygons(fields)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for file in files:
        with opened(file) as product:
            if "sif_760" not in product:
                notes.append(f"{file.name}: no fluorescence in this file")
            elif polygons is not None and not can_be_mapped(product):
                notes.append(f"{file.name}: its pixels have no place, so no polygon finds them")
            else:
                rows += _of_product(product, polygons, quantity)
    if polygons is not None:
        seen = {row["field"] for row in rows}
        notes += [f"{name}: in no product" for name in polygons["field"] if name not in seen]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["field", "time"])
    table = table.reset_index(drop=True)
    table.attrs["notes"] = notes
    return table


def save_series(
    table: pd.DataFrame, folder: str | Path, quantity: str = "sif_760"
) -> tuple[Path, Path]:
    """Write ``series.csv`` and ``series.png``.

    Raises:
        SifnetError: the folder cannot be written.
    """
    csv, png = (Path(folder) / f"series{ending}" for ending in (".csv", ".png"))
    with whole(csv) as partial:
        table.to_csv(partial, index=False, float_format="%.5g")
    figure = series_figure(table, quantity)
    with whole(png) as partial:
        figure.savefig(partial, dpi=130)
    return csv, png


def _files(products: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(products, str | Path):
        folder = Path(products)
        files = sorted(folder.glob("*_sif.nc")) if folder.is_dir() else [folder]
        if not files or not files[0].exists():
            raise SifnetError(
                "no product is here",
                found="no *_sif.nc" if folder.is_dir() else "nothing",
                expected="a folder of products",
                remedy="Give the folder that `into=` wrote to.",
                command="Give the folder that `sifnet retrieve -o` wrote to.",
                file=folder,
            )
        return files
    return [Path(product) for product in products]


def _polygons(fields: str | Path | GeoDataFrame) -> GeoDataFrame:
    try:
        import geopandas
    except ImportError as error:
        raise SifnetError(
            "polygons cannot be read",
            found="no geopandas",
            expected="the extra `fields`",
            remedy="pip install 'sifnet[fields]'",
        ) from error
    file = None if isinstance(fields, geopandas.GeoDataFrame) else str(fields)
    try:
        table: Any = fields if file is None else geopandas.read_file(file)
    except Exception as error:  # of pyogrio and GDAL, which have many
        raise _no_polygons(str(error).split("\n")[0], file) from error
    kinds = set(table.geom_type.dropna()) if len(table) else set()
    if not kinds or not kinds <= {"Polygon", "MultiPolygon"}:
        raise _no_polygons(", ".join(sorted(kinds)) or "nothing", file)
    if table.crs is None:
        raise _no_polygons("no projection", file)
    column = next((name for name in NAMED if name in table.columns), None)
    names = table.index if column is None else table[column]
    return table.assign(field=[str(name) for name in names])


def _no_polygons(found: str, file: str | None) -> SifnetError:
    return SifnetError(
        "these are no polygons on a map",
        found=found,
        expected="polygons with a projection: GeoJSON, GeoPackage or Shapefile",
        remedy="Correct the file.",
        file=file,
    )


def _of_product(
    product: xr.Dataset, polygons: GeoDataFrame | None, quantity: str
) -> Iterator[dict[str, Any]]:
    about = {
        "time": pd.Timestamp(str(product.attrs["acquisition_time"]).removesuffix("Z")),
        "scene": str(product.attrs["scene"]),
        "sensor": str(product.attrs["sensor"]),
    }
    if polygons is None:
        inside = np.ones(product["sif_760"].shape, bool)
        yield {"field": WHOLE, **about, **_mean(product, inside, quantity), "covered": np.nan}
        return
    located = place(product)
    table = polygons.to_crs("EPSG:4326" if located is None else located[0].to_wkt())
    for name, polygon in zip(table["field"], table.geometry, strict=True):
        part, inside, pixel = _within(product, polygon)
        if inside.any():
            covered = min(1.0, inside.sum() * pixel / polygon.area) if pixel else np.nan
            yield {"field": name, **about, **_mean(part, inside, quantity), "covered": covered}


def _within(product: xr.Dataset, polygon: Any) -> tuple[xr.Dataset, NDArray[np.bool_], float]:
    """The part of the product around a polygon, which of its pixels lie in it, and their area."""
    down, across = axes(product)
    nothing = np.zeros((0, 0), bool)
    if (located := place(product)) is None:
        from shapely import contains_xy

        degrees = (product[n].values for n in ("longitude", "latitude"))
        return product, np.asarray(contains_xy(polygon, *degrees)), 0.0
    from rasterio.features import geometry_mask
    from rasterio.transform import Affine

    affine = located[1]
    inverse = ~affine
    west, south, east, north = polygon.bounds
    corners = np.array([(west, south), (west, north), (east, south), (east, north)])
    columns = inverse.a * corners[:, 0] + inverse.b * corners[:, 1] + inverse.c
    rows = inverse.d * corners[:, 0] + inverse.e * corners[:, 1] + inverse.f
    window = [
        slice(max(0, int(np.floor(ends.min()))), min(size, int(np.ceil(ends.max()))))
        for ends, size in ((rows, product.sizes[down]), (columns, product.sizes[across]))
    ]
    shape = tuple(part.stop - part.start for part in window)
    if min(shape) <= 0:
        return product, nothing, 0.0
    a, b, c, d, e, f = affine[:6]
    row, column = window[0].start, window[1].start
    there = Affine(a, b, c + a * column + b * row, d, e, f + d * column + e * row)
    inside = geometry_mask([polygon], out_shape=shape, transform=there, invert=True)
    return product.isel({down: window[0], across: window[1]}), inside, abs(affine.determinant)


def _mean(part: xr.Dataset, inside: NDArray[np.bool_], quantity: str) -> dict[str, Any]:
    names = (quantity, f"{quantity}_uncertainty", "sif_760_uncertainty",
             "sif_760_uncertainty_shared", "sif_760", "quality_flag")  # fmt: skip
    part = part[[name for name in dict.fromkeys(names) if name in part]].load()
    good = inside & trusted(part)
    value, sigma, usual = (part[name].values.astype(float) for name in names[:3])
    good &= np.isfinite(value) & np.isfinite(sigma)
    shared = part.get(names[3])
    share = np.zeros_like(usual) if shared is None else np.nan_to_num(shared.values)
    mean, uncertainty, common = pooled(
        value[good], sigma[good], (share[good] / usual[good]) * sigma[good]
    )
    return {
        "pixels": int(inside.sum()),
        "trusted": float(good.sum() / inside.sum()),
        "sif": mean,
        "sif_uncertainty": uncertainty,
        "sif_uncertainty_shared": common,
    }


def series_figure(table: pd.DataFrame, quantity: str = "sif_760") -> Figure:
    """Fields against time; thin: the whole error, thick: what all pixels of a line share."""
    from matplotlib import colormaps
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    from sifnet.product.series_picture import UNITS

    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, (name, rows) in enumerate(table.groupby("field", sort=True)):
        colour = colours[number % len(colours)]
        when, sif = rows["time"].to_numpy(), rows["sif"].to_numpy()
        for column, width, cap in (("sif_uncertainty", 1.0, 4), ("sif_uncertainty_shared", 4.0, 0)):
            axes.errorbar(when, sif, rows[column].to_numpy(), color=colour, elinewidth=width,
                          linestyle="none", alpha=1.0 if cap else 0.45, capsize=cap)  # fmt: skip
        axes.plot(when, sif, color=colour, marker="o", markersize=5, linewidth=1.0, label=str(name))
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    nanometres = quantity.removeprefix("sif_")
    axes.set_ylabel(f"SIF at {nanometres} nm, {UNITS}", fontsize=9)
    axes.set_xlabel("time, UTC", fontsize=9)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("mean ± 1 σ; thick: the part that all pixels of a line share", fontsize=9,
                   loc="left", color="0.35")  # fmt: skip
    if table["field"].nunique():
        axes.legend(frameon=False, fontsize=8, ncols=min(4, table["field"].nunique()))
    return figure
