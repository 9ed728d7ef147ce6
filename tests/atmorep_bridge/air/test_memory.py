"""One scene from a global hour of 37 levels: well under 1 GiB."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fakes.fields import LEVELS, write_packed
from fakes.hyplant import fake_hyplant

# The command, which says at its end what memory it took at most, kB.
MEASURED = """
import atexit, re
from pathlib import Path

def tell():
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(peak)

atexit.register(tell)
from atmorep_bridge.cli import main

main()
"""


def global_hour() -> xr.Dataset:
    """0.25 degrees, 37 levels, t, q and z, as the CDS delivers."""
    from sifnet.units import standard_height, standard_temperature

    p = np.array(LEVELS, float)[::-1]
    latitude, longitude = np.arange(90, -90.1, -0.25), np.arange(0, 360, 0.25)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, p.size, latitude.size, longitude.size), dtype="f4")
    dims = ("valid_time", "pressure_level", "latitude", "longitude")

    def field(profile: np.ndarray, spread: float, units: str) -> tuple:
        values = profile[None, :, None, None] * (1 + spread * noise)
        return dims, values.astype("f4"), {"units": units}

    return xr.Dataset(
        {
            "t": field(standard_temperature(p), 1e-3, "K"),
            "q": field(8e-3 * (p / 1000) ** 3, 0.01, "kg kg**-1"),
            "z": field(standard_height(p) * 9806.65, 1e-4, "m**2 s**-2"),
        },
        coords={
            "valid_time": [np.datetime64("2020-06-25T09", "ns")],
            "pressure_level": ("pressure_level", p, {"units": "hPa"}),
            "latitude": latitude,
            "longitude": longitude,
        },
    )


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["netcdf", "packed", "zarr"])
def test_one_scene_from_a_global_hour(layout: str, tmp_path: Path) -> None:
    """Of the whole command, imports included: 0.30 to 0.64 GB, in 2.0 to 2.3 s of one core."""
    data = global_hour()
    if layout == "netcdf":
        file = tmp_path / "era5.nc"
        chunks = {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": (1, 19, 361, 720)}
        data.to_netcdf(file, engine="h5netcdf", encoding=dict.fromkeys("tqz", chunks))
    elif layout == "packed":
        file = write_packed(data.rename(valid_time="time", pressure_level="level"),
                            tmp_path / "era5.nc")  # fmt: skip
    else:
        pytest.importorskip("zarr")
        file = tmp_path / "era5.zarr"
        data.chunk({"latitude": -1, "longitude": -1, "pressure_level": -1}).to_zarr(
            file, consolidated=False
        )
    del data
    scene = fake_hyplant(tmp_path)
    command = [sys.executable, "-c", MEASURED, "state", str(scene), "--fields", str(file),
               "--elevation", "92", "-o", str(tmp_path / "atmosphere.nc")]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(said.split()[-1]) * 1024 < 2**30
    if file.is_file():
        file.unlink()  # pytest keeps the folders of three runs
