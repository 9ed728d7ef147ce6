import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from pyproj import Transformer

from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.physics.state import Atmosphere, SensorState
from sifnet.product.labels import VARIABLES
from sifnet.product.provenance import Provenance, told
from sifnet.scenes.scene import FLAGS, Flag

UTM = "EPSG:32632"


def test_every_promised_variable_is_there_with_unit_and_name() -> None:
    made = finish(fake_maps(), fake_scene())
    for name in (
        *("sif_760", "sif_740", "sif_760_uncertainty", "reflectance_740", "reflectance_slope"),
        *("aot_550", "surface_pressure", "wavelength_shift", "fwhm_shift"),
        *("ndvi_radiance", "residual_rms"),
    ):
        assert made[name].dims == ("line", "sample")
        assert made[name].dtype == np.float32
        assert made[name].attrs["units"]
        assert made[name].attrs["long_name"]
    assert made["sif_760"].attrs["units"] == "mW m-2 nm-1 sr-1"


def test_what_is_fitted_is_called_as_the_state_calls_it() -> None:
    facts = Atmosphere.parameters() | SensorState.parameters()
    for name in ("aot_550", "surface_pressure", "wavelength_shift", "fwhm_shift"):
        assert VARIABLES[name]["units"] == facts[name].unit
        assert VARIABLES[name]["long_name"] == facts[name].long_name


def test_flags_are_described_as_cf_wants_them() -> None:
    flag = finish(fake_maps(), fake_scene())["quality_flag"]
    assert flag.dtype == flag.attrs["flag_masks"].dtype == np.uint16
    assert flag.attrs["flag_meanings"].split()[:2] == ["dead", "saturated"]
    assert len(flag.attrs["flag_meanings"].split()) == flag.attrs["flag_masks"].size == len(FLAGS)
    assert int(flag[0, 0]) == Flag.DEAD


def test_place_time_and_geometry_come_with_it() -> None:
    made = finish(fake_maps(), fake_scene())
    assert made["latitude"].attrs["units"] == "degrees_north"
    assert made["latitude"].dims == ("line",)
    assert float(made["longitude"]) == 6.5
    assert made.attrs["acquisition_time"] == "2020-06-25T09:32:00"
    assert made["solar_zenith_angle"] == 40.0
    assert made["view_zenith_angle"].dims == ("sample",)
    assert made["time"].values == np.datetime64("2020-06-25T09:32")
    assert made.attrs["Conventions"] == "CF-1.11, ACDD-1.3"
    assert told(made)["reader_notes"] == "an assumption"


def test_provenance_names_files_by_their_content(tmp_path: Path) -> None:
    data, model = tmp_path / "line.dat", tmp_path / "model.ckpt"
    data.write_bytes(b"radiance")
    model.write_bytes(b"weights")
    scene = fake_scene()
    scene.dataset.attrs["source_files"] = [str(data)]
    provenance = Provenance(
        command="sifnet fit line.hdr -o out",
        model_file=model,
        configuration={"training": {"epochs": 3}},
        seed=7,
        atmosphere_source="atmosphere.nc",
    )
    attributes = told(finish(fake_maps(), scene, provenance))
    assert attributes["source_sha256"] == hashlib.sha256(b"radiance").hexdigest()
    assert attributes["model_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert attributes["configuration"]["training"]["epochs"] == 3
    assert attributes["seed"] == 7
    assert attributes["atmosphere_source"] == "atmosphere.nc"
    assert attributes["history"].endswith("sifnet fit line.hdr -o out")


def test_a_scene_on_a_map_gives_a_map(tmp_path: Path) -> None:
    scene = fake_scene(crs=UTM, transform=[2.0, 0.0, 4e5, 0.0, -2.0, 5.6e6])
    made = finish(fake_maps(), scene)
    assert made["sif_760"].attrs["grid_mapping"] == "spatial_ref"
    assert made["spatial_ref"].attrs["grid_mapping_name"] == "transverse_mercator"
    assert made["x"].values[0] == 400001.0
    assert made["y"].values[-1] == 5.6e6 - 2 * 5.5
    write(made, tmp_path / "map.nc")
    with xr.open_dataset(tmp_path / "map.nc", decode_coords="all") as again:
        assert "spatial_ref" in again.coords


def test_a_rotated_scene_keeps_its_transform() -> None:
    scene = fake_scene(crs=UTM, transform=[2.0, 1.0, 4e5, 1.0, -2.0, 5.6e6])
    made = finish(fake_maps(), scene)
    assert made["sif_760"].dims == ("y", "x")
    assert "x" not in made.coords
    assert made["spatial_ref"].attrs["GeoTransform"] == "400000 2 1 5600000 1 -2"
    # Middle of the pixel in line 2, sample 3, by hand.
    x, y = 4e5 + 2 * 3.5 + 1 * 2.5, 5.6e6 + 1 * 3.5 - 2 * 2.5
    east, north = Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(
        made["longitude"][2, 3], made["latitude"][2, 3]
    )
    assert (east, north) == (pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3))


def test_a_window_of_a_map_lies_where_its_lines_do() -> None:
    scene = fake_scene(crs=UTM, transform=[2.0, 1.0, 4e5, 1.0, -2.0, 5.6e6])
    whole, part = (finish(fake_maps(n), s) for n, s in ((6, scene), (3, scene.window(slice(3, 6)))))
    assert part["spatial_ref"].attrs["GeoTransform"] == "400003 2 1 5599994 1 -2"
    np.testing.assert_array_equal(part["latitude"], whole["latitude"][3:])


def test_angles_of_every_pixel_are_maps_too() -> None:
    scene = fake_scene(crs=UTM, transform=[2.0, 0.0, 4e5, 0.0, -2.0, 5.6e6])
    tilted = scene.dataset["view_zenith_angle"] + 0.1 * scene.dataset["line"]
    made = finish(fake_maps(), type(scene)(scene.dataset.assign(view_zenith_angle=tilted)))
    assert made["view_zenith_angle"].dims == ("y", "x")
    np.testing.assert_allclose(made["view_zenith_angle"][4], np.linspace(0, 8, 5) + 0.4, rtol=1e-6)


def test_the_file_tells_the_same_to_another_reader(tmp_path: Path) -> None:
    """Plain HDF5, which knows nothing of xarray: numbers, flags, compression."""
    path = write(finish(fake_maps(), fake_scene()), tmp_path / "p.nc")
    with h5py.File(path) as other:
        np.testing.assert_array_equal(other["sif_760"][:], fake_maps()["sif_760"])
        assert other["quality_flag"].dtype == np.uint16
        assert other["quality_flag"].attrs["flag_masks"].dtype == np.uint16
        assert other["sif_760"].compression == "gzip"
        assert np.isnan(other["sif_760"].attrs["_FillValue"])


def test_the_shift_is_that_from_what_the_file_says() -> None:
    """What a scene was registered by, and what was found besides."""
    maps, scene = fake_maps(), fake_scene()
    maps["wavelength_shift"][:] = 0.02
    scene.dataset.attrs["registered_shift"] = 0.21
    made = finish(maps, scene)["wavelength_shift"]
    np.testing.assert_allclose(made, 0.23, atol=1e-6)
    assert made.attrs["units"] == "nm"
