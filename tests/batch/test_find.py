"""Which scenes are meant by files, folders and patterns."""

from pathlib import Path

from fakes.fitted import write_named
from sifnet.batch.find import find, name_of


def test_folders_patterns_and_files_are_found(tmp_path: Path) -> None:
    here, deep = tmp_path / "downloads", tmp_path / "downloads" / "2024"
    first, second = write_named(here, "a"), write_named(deep, "b")
    (here / "notes.txt").touch()
    assert find([here]) == ([first, second], {})
    assert find([Path(f"{here}/**/*.hdr")]) == ([second, first], {})  # sorted by name
    assert find([first, here]) == ([first, second], {})  # named twice is mapped once
    found, refused = find([tmp_path / "none*.hdr", Path("nowhere.hdr")])
    assert found == [Path("nowhere.hdr")]  # its reader says that it is not there
    assert "no scene is here: found nothing that matches" in str(refused[tmp_path / "none*.hdr"])
    (tmp_path / "empty").mkdir()
    assert "no product in this folder" in str(find([tmp_path / "empty"])[1].popitem()[1])


def test_products_of_one_folder_are_kept_apart(tmp_path: Path) -> None:
    stems = [f"DESIS-HSI-L1B-DT000000000{n}_001-20200101T101010-V0210" for n in (1, 2)]
    for stem in stems:
        for layer in ("METADATA.xml", "QL_IMAGE.tif", "SPECTRAL_IMAGE.hdr", "SPECTRAL_IMAGE.tif"):
            (tmp_path / f"{stem}-{layer}").touch()
    found, refused = find([tmp_path])
    assert [path.name for path in found] == [f"{stem}-SPECTRAL_IMAGE.hdr" for stem in stems]
    assert not refused
    assert [name_of(path) for path in found] == stems
