"""What goes with a product: made, listed, and nothing loaded for what nobody asked for."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.product.beside import beside, complete


def _written(folder: Path) -> Path:
    return write(finish(fake_maps(), fake_scene()), folder / "p_sif.nc")


def test_all_that_is_asked_for_is_made_and_listed(tmp_path: Path) -> None:
    path = _written(tmp_path)
    complete(path, cog=True, anew=True)
    assert all(file.exists() for file in beside(path, cog=True).values())
    assert "cog" in json.loads(path.with_suffix(".json").read_text())["assets"]


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
    assert all(file.exists() for file in made.values())
