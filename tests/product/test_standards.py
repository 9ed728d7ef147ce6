"""What others' tools make of a product: CF and ACDD checkers, rioxarray, xarray's own defaults."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr
from rasterio.transform import Affine

from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.product import netcdf as outputs
from sifnet.product.aggregate import aggregate
from sifnet.product.provenance import Provenance, told
from sifnet.scenes.scene import Scene

UTM = "EPSG:32632"
PLACES = {
    "north up": {"crs": UTM, "transform": [30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6]},
    "rotated": {"crs": UTM, "transform": [24.0, 18.0, 4e5, 18.0, -24.0, 5.6e6]},
    "degrees": {"crs": "EPSG:4326", "transform": [3e-4, 0.0, 6.5, 0.0, -3e-4, 50.5]},
    "nowhere": {},
}
# Who made it, for whom and under which licence, the retrieval cannot know; depth it has none. The
# extent is that of the edges of pixels, where the checker compares their middles, or finds none.
UNKNOWN = ("creator", "publisher", "institution", "project", "license", "naming_authority",
           "acknowledgement", "contributor", "program", "geospatial_vertical", "references",
           "time_coverage_resolution", "metadata_link", "comment", "keywords_vocabulary",
           "date_modified", "date_issued", "date_metadata_modified", "platform", "resolution",
           "vocabulary", "vertical", "extents_match")  # fmt: skip

NAMED = ("solar_zenith", "view_zenith", "ground_elevation", "surface_pressure", "aot_550",
         "quality_flag", "time", "latitude", "longitude", '"x"', '"y"')  # fmt: skip


def _written(folder: Path, place: str, block: int = 0) -> Path:
    """A product with angles of every pixel and, if asked for, blocks."""
    scene = fake_scene(30, 20, **PLACES[place])
    angle = scene.dataset["view_zenith_angle"] + 0.1 * scene.dataset["line"]
    scene = Scene(scene.dataset.assign(view_zenith_angle=angle))
    long = Provenance(configuration={"wavelength": np.arange(750, 770, 0.11).tolist()})
    made = finish(fake_maps(30, 20), scene, long)
    path = write(made, folder / "p_sif.nc")
    if block:
        outputs.append(aggregate(made, block), path, group="aggregated")
    return path


def _checked(path: Path) -> dict[str, list[dict[str, str]]]:
    """All that the checkers find wrong, by standard."""
    runner = pytest.importorskip("compliance_checker.runner", reason="compliance-checker is absent")
    runner.CheckSuite.load_all_available_checkers()
    report = path.with_suffix(".report")
    standards = ["cf:1.11", "acdd:1.3"]
    with redirect_stdout(StringIO()):
        runner.ComplianceChecker.run_checker(
            str(path), standards, 0, "normal", output_filename=str(report), output_format="json"
        )
    found, kinds = json.loads(report.read_text()), ("high", "medium", "low")
    return {
        standard: [
            {"name": check["name"], "text": text}
            for kind in kinds
            for check in found[standard][f"{kind}_priorities"]
            for text in check["msgs"]
        ]
        for standard in standards
    }


@pytest.mark.parametrize(
    "place",
    ["north up", *(pytest.param(name, marks=pytest.mark.slow) for name in list(PLACES)[1:])],
)
def test_checkers_of_cf_and_acdd_find_nothing(place: str, tmp_path: Path) -> None:
    found = _checked(_written(tmp_path, place, block=7))
    assert not found["cf:1.11"]
    # Discovery has all that a retrieval can know.
    left = [entry for entry in found["acdd:1.3"] if not any(n in str(entry) for n in UNKNOWN)]
    # What CF has no standard name for has none; the rest has.
    nameless = [entry["name"] for entry in left if entry["text"] == "standard_name"]
    assert not [text for text in nameless if any(name in text for name in NAMED)]
    assert not [entry for entry in left if entry["text"] != "standard_name"]


def test_a_header_is_short_and_loses_nothing(tmp_path: Path) -> None:
    path = _written(tmp_path, "north up")
    with h5netcdf.File(path) as file:
        lengths = {name: len(str(value)) for name, value in file.attrs.items()}
        assert max(lengths.values()) < 400, lengths
        assert len(lengths) < 40
        assert not file.variables["provenance"].dimensions  # a value, which no header shows
    stated = told(outputs.read(path))
    assert stated["configuration"]["wavelength"][:2] == [750.0, 750.11]
    assert stated["sensor"] == "hyplant"


def test_rioxarray_clips_and_reprojects_with_xarrays_defaults(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is absent")
    with xr.open_dataset(_written(tmp_path, "north up", block=7)) as product:
        sif = product["sif_760"]
        assert sif.rio.crs.to_epsg() == 32632
        assert sif.rio.transform()[:6] == (30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6)
        # Pixels of columns 3 to 7 and lines 10 to 19, by the middle of each.
        field = {"type": "Polygon", "coordinates": [[
            [4e5 + 90, 5.6e6 - 300], [4e5 + 240, 5.6e6 - 300],
            [4e5 + 240, 5.6e6 - 600], [4e5 + 90, 5.6e6 - 600],
            [4e5 + 90, 5.6e6 - 300]]]}  # fmt: skip
        cut = sif.rio.clip([field], UTM)
        np.testing.assert_array_equal(cut, sif[10:20, 3:8])
        there = sif.rio.reproject("EPSG:4326")
        assert float(there.mean()) == pytest.approx(float(sif.mean()), abs=0.02)
        west, south, east, north = there.rio.bounds()
        assert product.attrs["geospatial_lon_min"] == pytest.approx(west, abs=1e-3)
        assert product.attrs["geospatial_lat_max"] == pytest.approx(north, abs=1e-3)
        assert (east - west, north - south) == (pytest.approx(0.0085, rel=0.1),) * 2
        whole = product.rio.clip([field], UTM)  # the dataset, blocks and all
        assert whole["sif_740"].shape == (10, 5)


def test_rioxarray_turns_a_rotated_map_north(tmp_path: Path) -> None:
    """Every pixel comes to where the product's own coordinates say.

    Onto a given grid: the extent that rioxarray would choose by itself leaves the rotation out.
    """
    pytest.importorskip("rioxarray", reason="rioxarray is absent")
    with xr.open_dataset(_written(tmp_path, "rotated")) as product:
        assert product["sif_760"].rio.transform()[:6] == (24.0, 18.0, 4e5, 18.0, -24.0, 5.6e6)
        number = product["sif_760"].copy(data=np.arange(600.0).reshape(30, 20)).astype(np.float32)
        x, y = product["projection_x"].values, product["projection_y"].values
        west, north = x.min() - 30, y.max() + 30
        shape = (int(np.ptp(y) / 5) + 12, int(np.ptp(x) / 5) + 12)
        grid = Affine(5.0, 0.0, west, 0.0, -5.0, north)
        turned = number.rio.reproject(UTM, transform=grid, shape=shape, nodata=np.nan)
        rows, columns = ((north - y) / 5).astype(int), ((x - west) / 5).astype(int)
        np.testing.assert_array_equal(turned.values[rows, columns], number)
