"""``product.sif``: why a value is what it is.

    product.sif.spectrum(120, 35).plot()

Nothing heavy is imported before it is asked for: xarray registers this when it is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sifnet import card
from sifnet.errors import SifnetError

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from sifnet.product.spectrum import Spectrum
    from sifnet.retrieval.model import Retrieval
    from sifnet.scenes.scene import Scene

NO_SPECTRUM = "why a value is what it is cannot be shown"


class SifAccessor:
    """Of a product, what stands behind its pixels, and how far it may be trusted."""

    def __init__(self, data: xr.Dataset) -> None:
        self._data = data

    def _card(self) -> list[tuple[str, str]]:
        """What a person asks of a map first; only its scene where the dataset is no product."""
        from sifnet.product.labels import headline
        from sifnet.product.netcdf import summary

        product = self._data
        rows = [(name, str(product.attrs.get(name, ""))) for name in ("sensor", "acquisition_time")]
        if "sif_760" not in product:
            return rows
        first, found = headline(product), summary(product)
        mean, sd, sigma = (found.get(f"{first}_{n}", float("nan"))
                           for n in ("mean", "sd", "uncertainty_mean"))  # fmt: skip
        size = " x ".join(f"{n} {dim}" for dim, n in product["sif_760"].sizes.items())
        return [
            *rows,
            ("size", size),
            ("trusted", f"{found['trusted']:.1%} of the pixels"),
            (f"mean {first}", f"{mean:.2f}, sd {sd:.2f}, mean uncertainty {sigma:.2f}, "
             f"{product[first].attrs.get('units', '')}"),
            ("verdict", self.verdict()),
        ]  # fmt: skip

    def __repr__(self) -> str:
        return card.text(f"product of {self._data.attrs.get('scene', 'no scene')}", self._card())

    def _repr_html_(self) -> str:
        return card.html(f"Product of {self._data.attrs.get('scene', 'no scene')}", self._card())

    def spectrum(
        self,
        line: int | None = None,
        sample: int | None = None,
        *,
        mask: np.ndarray | xr.DataArray | None = None,
        polygon: Any = None,
        scene: Scene | None = None,
        model: Retrieval | str | Path | None = None,
    ) -> Spectrum:
        """The fit behind a pixel, or the mean of those behind a mask or a polygon.

        Args:
            line, sample: of the pixel, counted from 0.
            mask: (line, sample), bool.
            polygon: a geometry of shapely or any other with ``__geo_interface__``, in the
                projection of the product's grid; in (sample, line) where it has none, a pixel's
                centre being at its number plus a half.
            scene, model: where they are no longer where the product says.

        Returns:
            On ``band``, with ``wavelength``: measured and fitted radiance, the part of it that is
            fluorescence, noise, residual in units of noise, and what the encoder alone said. On
            ``parameter``: value, prior, prior_sd, encoder_value. Where scene or model are gone, the
            nearest spectrum that the product keeps: attribute ``source`` says so. Of several
            pixels everything is a mean, and mean residuals scatter by 1 / sqrt(pixels). Its
            ``plot()`` draws it.

        Raises:
            SifnetError: no such pixel or none that could be used; the scene or the model is not
                that of the product; or it is gone and nothing is kept.
        """
        from sifnet.product.behind import behind
        from sifnet.product.spectrum import mean_of

        chosen = self._mask(line, sample, mask, polygon)
        found = behind(self._data, scene, model)
        told = _nearest(self._data, chosen) if found is None else found.spectra(chosen)
        if not told.sizes["pixel"]:
            raise SifnetError(
                NO_SPECTRUM,
                found=f"{int(chosen.sum())} pixels that could not be used",
                expected="one that has a result",
                remedy="quality_flag says why; choose another pixel.",
            )
        source = "the scene" if found is not None else told.attrs["source"]
        return mean_of(told, scene=str(self._data.attrs.get("scene", "")), source=source)

    def emission(self) -> xr.Dataset:
        """The whole emission of every pixel, 670-780 nm: spectrum, peaks and integral, with sigma.

        Of a map it is made of SIF in the oxygen bands and of what canopies emit between and
        beside them (``sifnet.retrieval.whole_emission``): of many pixels take a window at a time,
        ``product.isel(line=slice(0, 64)).sif.emission()``.

        Returns, and raises:
            See ``sifnet.product.emission.emission_of``.
        """
        from sifnet.product.emission import emission_of

        return emission_of(self._data)

    def physiology(self) -> xr.Dataset:
        """Absorbed light, escape of emission and quantum efficiency, as far as they can be told.

        Returns:
            See ``sifnet.product.physiology.physiology_of``.
        """
        from sifnet.product.physiology import physiology_of

        return physiology_of(self._data)

    def verdict(self) -> str:
        """How far a product may be trusted, in words."""
        from sifnet.product.verdict import verdict

        return str(verdict(self._data))

    def _mask(self, line: Any, sample: Any, mask: Any, polygon: Any) -> np.ndarray:
        """Boolean (line, sample) of what was asked for in one of three ways."""
        import numpy as np

        shape = self._shape()
        ways = [line is not None or sample is not None, mask is not None, polygon is not None]
        if sum(ways) != 1 or (ways[0] and (line is None or sample is None)):
            raise SifnetError(
                "a spectrum is that of a pixel, of a mask or of a polygon",
                found=f"{sum(ways)} of these" if sum(ways) != 1 else "half a pixel",
                expected="one",
                remedy="product.sif.spectrum(line, sample), (mask=...) or (polygon=...)",
            )
        if polygon is not None:
            return _inside(self._data, polygon, shape)
        if mask is not None:
            chosen = np.asarray(mask)
            if chosen.shape != shape or chosen.dtype != bool:
                raise SifnetError(
                    "the mask is not one of this product",
                    found=f"{chosen.dtype} {chosen.shape}",
                    expected=f"bool {shape}",
                    remedy="Make it from the product's own maps, as product.sif_760 > 1.",
                )
            return chosen
        at = int(line), int(sample)
        if not all(0 <= i < length for i, length in zip(at, shape, strict=True)):
            raise SifnetError(
                "no such pixel",
                found=f"line {at[0]}, sample {at[1]}",
                expected=f"lines 0 to {shape[0] - 1}, samples 0 to {shape[1] - 1}",
                remedy="Both are counted from 0.",
            )
        chosen = np.zeros(shape, bool)
        chosen[at] = True
        return chosen

    def _shape(self) -> tuple[int, int]:
        if "sif_760" not in self._data:
            raise SifnetError(
                "this is no product",
                found=", ".join(map(str, self._data.data_vars)) or "no variables",
                expected="sif_760, as sifnet.retrieve makes it",
                remedy="Open `<scene>_sif.nc`.",
            )
        lines, samples = self._data["sif_760"].shape
        return lines, samples


def _inside(product: xr.Dataset, polygon: Any, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre lies in a polygon."""
    from rasterio.features import geometry_mask
    from rasterio.transform import Affine

    from sifnet.product.labels import place

    located = place(product)
    transform = Affine.identity() if located is None else located[1]
    geometry = getattr(polygon, "__geo_interface__", polygon)
    chosen = geometry_mask([geometry], shape, transform, invert=True)
    if not chosen.any():
        where = "the product's projection" if located else "(sample, line)"
        raise SifnetError(
            "the polygon covers no pixel of this product",
            found=f"bounds {getattr(polygon, 'bounds', geometry)}",
            expected=f"coordinates in {where}",
            remedy="Bring it there first, e.g. with geopandas' to_crs.",
        )
    return chosen


def _nearest(product: xr.Dataset, chosen: np.ndarray) -> xr.Dataset:
    """The kept spectra inside of a choice, or else the nearest to its middle."""
    import numpy as np

    from sifnet.product.kept import kept_spectra
    from sifnet.product.provenance import told

    kept = kept_spectra(product)
    if kept is None:
        raise SifnetError(
            NO_SPECTRUM,
            found="neither its scene and model, nor spectra that its file keeps",
            expected=str(told(product).get("source_files", "a scene")).split("\n")[0],
            remedy="Give them: product.sif.spectrum(..., scene=sifnet.open_scene(...), model=...).",
        )
    line, sample = kept["line"].values, kept["sample"].values
    inside = np.flatnonzero(chosen[line, sample])
    if len(inside):
        text = f"{len(inside)} of the spectra that the product keeps: its scene or model is gone"
        return kept.isel(pixel=inside).assign_attrs(source=text)
    middle = np.argwhere(chosen).mean(0)
    away = np.hypot(line - middle[0], sample - middle[1])
    nearest = int(away.argmin())
    text = (
        f"the nearest that the product keeps, line {line[nearest]}, sample {sample[nearest]}, "
        f"{away[nearest]:.0f} pixels away: its scene or model is gone"
    )
    return kept.isel(pixel=[nearest]).assign_attrs(source=text)


def register() -> None:
    """Give every dataset of xarray its ``sif``."""
    import xarray as xr

    if not hasattr(xr.Dataset, "sif"):
        xr.register_dataset_accessor("sif")(SifAccessor)
