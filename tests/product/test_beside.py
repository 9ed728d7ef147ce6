"""What goes with a product: made, listed, and nothing loaded for what nobody asked for."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.product.beside import beside, complete

UTM = {"crs": "EPSG:32632", "transform": [30.0, 0.0, 4e5, 0.0, -30.0, 5.6e6]}


def _written(folder: Path, **place: object) -> Path:
    return write(finish(fake_maps(), fake_scene(**place)), folder / "p_sif.nc")


def test_all_that_is_asked_for_is_made_and_listed(tmp_path: Path) -> None:
    path = _written(tmp_path, **UTM)
    told = complete(path, cog=True, anew=True)
    assert told == f"GeoTIFF {path.with_suffix('.tif')}, on the grid of the product"
    assert all(file.exists() for file in beside(path, cog=True).values())
    assets = json.loads(path.with_suffix(".json").read_text())["assets"]
    assert {"cog", "flags"} < set(assets)
    assert not complete(path, cog=True, anew=False)


def test_a_line_that_lies_nowhere_gets_a_sentence_and_no_geotiff(tmp_path: Path) -> None:
    path = _written(tmp_path)
    assert complete(path, cog=True, anew=True).startswith("no GeoTIFF: it lies on no map grid")
    assert not list(tmp_path.glob("*.tif*"))
    assert "cog" not in json.loads(path.with_suffix(".json").read_text())["assets"]


def test_a_geotiff_costs_only_those_who_want_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sifnet.product.beside import complete\n"
        "complete(Path(sys.argv[1]), cog=False, anew=True)\n"
        "assert 'matplotlib' in sys.modules and 'rasterio' not in sys.modules\n"
    )
    path = _written(tmp_path)
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=PROJECT, check=True)
    made = beside(path, cog=True)
    assert not made.pop("cog").exists()
    assert not made.pop("flags").exists()
    assert all(file.exists() for file in made.values())
