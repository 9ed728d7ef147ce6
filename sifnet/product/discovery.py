"""What catalogues and people look for first: the global attributes of ACDD 1.3.

Who made a product, under which licence and for which project sifnet cannot know: ``creator_name``,
``institution``, ``license`` and ``project`` are for its maker to add.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from sifnet import __version__
from sifnet.product.footprint import Ring
from sifnet.scenes.scene import FIT_WINDOW, Scene

CONVENTIONS = "CF-1.11, ACDD-1.3"
VOCABULARY = "CF Standard Name Table v93"
KEYWORDS = (
    "solar-induced fluorescence",
    "chlorophyll fluorescence",
    "photosynthesis",
    "vegetation",
    "oxygen A band",
    "imaging spectroscopy",
)
TIMES = "time_coverage"


def discovery(scene: Scene, place: Ring | None) -> dict[str, Any]:
    """Attributes of the product of a scene, beside its provenance.

    Args:
        place: ring of [longitude, latitude] around the scene, None where it is not known.
    """
    sensor = scene.sensor.name
    above = bool(np.isposinf(scene.dataset["sensor_height"]).all())
    height = "from space" if above else "from the air or the ground"
    return {
        "Conventions": CONVENTIONS,
        "title": f"Sun-induced fluorescence, {scene.name}",
        "summary": f"Sun-induced chlorophyll fluorescence at 760 and 740 nm, retrieved by sifnet "
        f"{__version__} from {sensor} radiance {height} in {FIT_WINDOW[0]:g}-{FIT_WINDOW[1]:g} nm "
        "and around, with its uncertainty, quality flags, and what else the retrieval found of "
        "surface, atmosphere and sensor in every pixel.",
        "keywords": ", ".join((*KEYWORDS, sensor)),
        "id": scene.name,
        "instrument": sensor,
        "processing_level": "L2",
        "cdm_data_type": "Grid" if "crs" in scene.dataset.attrs else "Swath",
        "standard_name_vocabulary": VOCABULARY,
        "date_created": datetime.now(UTC).isoformat(timespec="seconds"),
        "product_version": __version__,
        **_times(scene),
        **_extent(place),
    }


def _times(scene: Scene) -> dict[str, str]:
    stated = scene.dataset["time"].values if "time" in scene.dataset else [acquired(scene)]
    times = np.asarray(stated, "datetime64[ms]")
    first, last = times.min(), times.max()
    seconds = (last - first) / np.timedelta64(1, "s")
    return {
        f"{TIMES}_start": f"{first}Z",
        f"{TIMES}_end": f"{last}Z",
        f"{TIMES}_duration": f"PT{seconds:.9g}S",
    }


def acquired(scene: Scene) -> np.datetime64:
    """When the scene was acquired, UTC."""
    return np.datetime64(str(scene.dataset.attrs["acquisition_time"]).removesuffix("Z"), "ns")


def _extent(place: Ring | None) -> dict[str, Any]:
    """Of a ring over the date line the eastern end is beyond 180."""
    if place is None:
        return {}
    (west, south), (east, north) = np.min(place, axis=0).tolist(), np.max(place, axis=0).tolist()
    extent: dict[str, Any] = {
        "geospatial_lat_min": south, "geospatial_lat_max": north,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": west, "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
    }  # fmt: skip
    corners = [f"{y:.6f} {x:.6f}" for x, y in place]  # EPSG:4326 has latitude first
    different = list(dict.fromkeys(corners))
    shapes = {1: f"POINT ({corners[0]})", 2: f"LINESTRING ({', '.join(different)})"}
    bounds = shapes.get(len(different), f"POLYGON (({', '.join(corners)}))")
    return extent | {"geospatial_bounds": bounds, "geospatial_bounds_crs": "EPSG:4326"}
