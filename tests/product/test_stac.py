"""Items are checked by pystac against the schema of STAC, and for what they say."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation import validate_dict

from fakes.products import fake_maps, fake_scene, finish
from sifnet.product import cog, stac
from sifnet.scenes.scene import FLAGS, Flag

UTM = {"crs": "EPSG:32632", "transform": [30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6]}
HERE = Path("/there")
FILES = {"product": HERE / "fake_sif.nc", "thumbnail": HERE / "thumbnails/fake_sif.png"}


def _of(product: xr.Dataset) -> dict:
    return stac.item(product, FILES, HERE).to_dict(include_self_link=False)


def _item(**attributes: object) -> dict:
    return _of(finish(fake_maps(), fake_scene(**attributes)))


@pytest.mark.parametrize("place", [{}, UTM])
def test_an_item_is_valid(place: dict, tmp_path: Path) -> None:
    made = finish(fake_maps(), fake_scene(**place))
    files = {what: tmp_path / file.relative_to(HERE) for what, file in FILES.items()}
    path = stac.write_item(made, tmp_path / "fake_sif.json", files)
    # The schemas of extensions are on the web; only the core comes with pystac.
    core = json.loads(path.read_text()) | {"stac_extensions": []}
    validate_dict(core)
    read = pystac.Item.from_file(path)
    assert read.datetime is not None
    assert read.datetime.isoformat() == "2020-06-25T09:32:00+00:00"
    assert read.assets["product"].get_absolute_href() == str(tmp_path / "fake_sif.nc")
    assert "mean" not in read.assets["product"].title


def test_geotiffs_are_told_band_by_band(tmp_path: Path) -> None:
    """As pystac's own classes read it; schemas of extensions are on the web, so by hand."""
    made = finish(fake_maps(), fake_scene(**UTM))
    files = {"cog": tmp_path / "p.tif", "flags": tmp_path / "p_flags.tif"}
    cog.write_cogs(made, files["cog"], files["flags"])
    read = pystac.Item.from_file(stac.write_item(made, tmp_path / "p.json", files))
    validate_dict(json.loads((tmp_path / "p.json").read_text()) | {"stac_extensions": []})
    maps, flags = (read.assets[name] for name in files)
    bands = RasterExtension.ext(maps).bands
    assert [band["name"] for band in maps.extra_fields["bands"]] == [
        name for name in cog.BANDS if name in made
    ]
    assert (bands[0].unit, bands[0].data_type, bands[0].nodata) == (
        "mW m-2 nm-1 sr-1", "float32", "nan")  # fmt: skip
    for asset in (maps, flags):
        projection = ProjectionExtension.ext(asset)
        assert projection.code == "EPSG:32632"
        assert projection.shape == [6, 5]
        assert projection.transform == UTM["transform"]
    assert RasterExtension.ext(flags).bands[0].nodata == cog.NO_FLAGS
    fields = ClassificationExtension.ext(flags).bitfields
    assert [2**field.offset for field in fields] == [int(flag) for flag in FLAGS]
    assert fields[0].classes[1].description == FLAGS[Flag.DEAD]
    told = {url.split("/")[3] for url in read.stac_extensions}
    assert told == {"projection", "view", "processing", "raster", "classification"}


def test_a_map_is_at_its_place() -> None:
    """By the UTM of the corners, computed by another projection library's tables (EPSG:32632)."""
    made = _item(**UTM)
    west, south, east, north = made["bbox"]
    assert made["properties"]["proj:code"] == "EPSG:32632"
    assert made["properties"]["proj:shape"] == [6, 5]
    assert made["properties"]["proj:transform"] == [30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6]
    # 5 pixels of 30 m east-west, 6 north-south, at 50.5 degrees north: 111.2 km a degree.
    assert (east - west) * 111_200 * np.cos(np.radians(50.5)) == pytest.approx(150, rel=0.05)
    assert (north - south) * 111_200 == pytest.approx(180, rel=0.05)
    # One degree west of the central meridian of zone 32 (9 E) lie 71 km at this latitude.
    assert west == pytest.approx(9 - 100_000 / (111_320 * np.cos(np.radians(50.54))), abs=0.01)
    ring = made["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    assert area > 0  # counterclockwise, as GeoJSON wants it


def test_without_a_map_corners_tell_the_place() -> None:
    made = _item()  # a line of latitudes at one longitude
    assert made["geometry"] == {"type": "LineString", "coordinates": [[6.5, 50.1], [6.5, 50.2]]}
    point = finish(fake_maps(), fake_scene()).assign_coords(latitude=50.0)
    assert _of(point)["geometry"] == {"type": "Point", "coordinates": [6.5, 50.0]}
    nowhere = point.drop_vars(["latitude", "longitude"])
    assert _of(nowhere)["geometry"] is None
    assert "bbox" not in _of(nowhere)


def test_a_footprint_over_the_date_line_is_cut_there() -> None:
    """RFC 7946, 3.1.9 and 5.2: two polygons on either side, and a box whose west is the larger."""
    made = finish(fake_maps(), fake_scene())
    grid = np.ones((6, 5))
    east = 179.9 + 0.05 * np.arange(5) * grid  # 179.9 to 180.1
    made = made.assign_coords(
        latitude=(("line", "sample"), np.linspace(-17.0, -17.1, 6)[:, None] * grid),
        longitude=(("line", "sample"), (east + 180) % 360 - 180),
    )
    found = _of(made)
    west, south, east_, north = found["bbox"]
    assert (west, east_) == (pytest.approx(179.9), pytest.approx(-179.9))
    assert (south, north) == (pytest.approx(-17.1), pytest.approx(-17.0))
    assert found["geometry"]["type"] == "MultiPolygon"
    rings = [polygon[0] for polygon in found["geometry"]["coordinates"]]
    spans = sorted((min(x for x, _ in ring), max(x for x, _ in ring)) for ring in rings)
    assert spans == [(-180.0, pytest.approx(-179.9)), (pytest.approx(179.9), 180.0)]
    for ring in rings:
        assert ring[0] == ring[-1]
        assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) > 0
    core = json.loads(json.dumps(found)) | {"stac_extensions": []}
    validate_dict(core)


def test_figures_are_those_of_trusted_pixels() -> None:
    made = finish(fake_maps(), fake_scene())
    known = _of(made)["properties"]
    good = made["sif_760"].values.ravel()[1:-1].astype(float)  # the first and last are flagged
    assert known["sifnet:pixels"] == 30
    assert known["sifnet:trusted"] == pytest.approx(28 / 30, rel=1e-5)
    assert known["sifnet:sif_760_mean"] == pytest.approx(good.mean(), rel=1e-5)
    assert known["sifnet:sif_760_sd"] == pytest.approx(good.std(), rel=1e-4)
    assert known["sifnet:flags"] == {"dead": pytest.approx(1 / 30, rel=1e-5),
                                     "poor_fit": pytest.approx(1 / 30, rel=1e-5)}  # fmt: skip
    assert known["view:sun_elevation"] == 50.0


def test_a_blind_product_says_nothing_of_fluorescence() -> None:
    made = finish(fake_maps(), fake_scene())
    made["quality_flag"][:] = 1
    known = _of(made)["properties"]
    assert known["sifnet:trusted"] == 0.0
    assert "sifnet:sif_760_mean" not in known
