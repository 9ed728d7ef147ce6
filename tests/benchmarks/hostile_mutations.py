"""Ways to spoil a file: its bytes, its fields, its arrays, and what the file system has of it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import xarray as xr

VALUES = ("", "nan", "-inf", "1e308", "-1", "0", "99999999999999999999", "1e-320", "abc", "{", "☃",
          "1,2", "31-02-2020", "0x10", "7", "9999-12-31", "\x00", "true", "1e999")  # fmt: skip
FACTORS = (-1.0, 0.1, 0.5, 0.9, 1.1, 2.0, 10.0)
FIELDS = {  # by the ending of a file: name and value of what it states
    ".hdr": re.compile(r"^(?P<name>[^=\n{]+?) *= *(?P<value>\{[^}]*\}|[^\n]*)$", re.MULTILINE),
    ".xml": re.compile(r"<(?P<name>\w+)>(?P<value>[^<]+)</\w+>"),
    ".json": re.compile(r'"(?P<name>\w+)": (?P<value>[^,}\n]+)'),
    ".csv": re.compile(r"(?P<name>)(?<=[;\n])(?P<value>[^;\n]+)"),
    ".txt": re.compile(r"(?P<name>)(?<=[\t\n])(?P<value>[^\t\n]+)"),
}
Told = tuple[str, str]
"""What was done, and the field it was done to, if any."""


def field(file: Path, rng: Random) -> Told:
    """Another value of one field, each field as often as any other."""
    pattern, text = FIELDS[file.suffix.lower()], file.read_text(encoding="utf-8")
    found: dict[str, list[re.Match[str]]] = {}
    for match in pattern.finditer(text):
        found.setdefault(match["name"].strip(), []).append(match)
    name = rng.choice(sorted(found))
    match = rng.choice(found[name])
    old = new = match["value"]
    if re.fullmatch(r"-?\d+\.?\d*(e-?\d+)?", old.strip()) and rng.random() < 0.4:
        new = repr(float(old) * rng.choice(FACTORS))
        new = new.removesuffix(".0") if "." not in old else new
    elif old.startswith("{") and rng.random() < 0.7:
        parts = old[1:-1].split(",")
        parts[rng.randrange(len(parts))] = rng.choice(VALUES)
        new = "{" + ",".join(parts if rng.random() < 0.5 else parts[:-1]) + "}"
    while new == old:
        new = rng.choice(VALUES)
    file.write_text(text[: match.start("value")] + new + text[match.end("value") :], "utf-8")
    return f"{file.suffix} {name or 'a value'} = {new[:30]!r} for {old[:30]!r}", name


def line(file: Path, rng: Random) -> Told:
    """A line gone, there twice, or elsewhere."""
    lines = file.read_text(encoding="utf-8").split("\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.choice(("gone", "twice", "elsewhere"))
    moved = lines[at]
    if how != "twice":
        del lines[at]
    if how != "gone":
        lines.insert(to, moved)
    file.write_text("\n".join(lines), encoding="utf-8")
    return f"{file.suffix} line {at} {how}: {moved[:30]!r}", moved.partition("=")[0].strip()


def damage(file: Path, rng: Random) -> Told:
    """Bytes of anything: cut, flipped, gone, blank, too many, none."""
    raw = bytearray(file.read_bytes())
    how = rng.choice(("cut", "flip", "flip start", "gone", "blank", "longer", "empty", "noise"))
    start = rng.randrange(len(raw))
    if how == "cut":
        del raw[start:]
    elif how.startswith("flip"):
        reach = min(len(raw), 600) if how == "flip start" else len(raw)
        for _ in range(rng.choice((1, 8))):
            raw[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    elif how == "gone":
        del raw[start : start + rng.choice((1, 2, 100))]
    elif how == "blank":
        raw[start : start + 200] = bytes(min(200, len(raw) - start))
    elif how == "longer":
        raw += rng.randbytes(rng.choice((1, 1000)))
    else:
        raw = bytearray() if how == "empty" else bytearray(rng.randbytes(5000))
    file.write_bytes(raw)
    return f"{file.suffix} {how} at {start}", ""


def not_utf8(file: Path, rng: Random) -> Told:
    """Bytes that are no text."""
    raw = bytearray(file.read_bytes())
    at = rng.randrange(len(raw))
    raw[at:at] = b"\xff\xfe\xe9"
    file.write_bytes(raw)
    return f"{file.suffix} not UTF-8 at {at}", ""


def nested(file: Path, _: Random) -> Told:
    """Brackets without end."""
    file.write_text({".xml": "<a>", ".json": '{"a":'}.get(file.suffix, "[") * 100_000)
    return f"{file.suffix} nested without end", ""


def special(file: Path, rng: Random) -> Told:
    """Something that is no file, or far too large, in its place."""
    kind = rng.choice(("pipe", "folder", "device", "loop", "nowhere", "socket", "sparse"))
    size = file.stat().st_size
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(file.parent)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(file.name[-90:])
        Path(file.name[-90:]).rename(file)
        os.chdir(here)
    elif kind == "sparse":
        file.touch()
        os.truncate(file, 10**11 // size * size)
    else:
        file.symlink_to({"device": "/dev/zero", "loop": file, "nowhere": "/nowhere"}[kind])
    return f"{file.suffix} a {kind}", ""


def twin(file: Path, rng: Random) -> Told:
    """A zip with a member twice, hidden, leading out of it, or with sizes that lie."""
    how = rng.choice(("twice", "in a folder", "leads out", "lies", "encrypted", "packed again"))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as archive:
        warnings.simplefilter("ignore")
        name = rng.choice([n for n in archive.namelist() if n.endswith((".tif", ".xml"))])
        content = bytearray(archive.read(name))
        content[len(content) // 2] ^= 0x40
        if how in ("twice", "in a folder", "leads out"):
            folder = {"twice": "", "in a folder": "b/", "leads out": "../"}[how]
            archive.writestr(folder + name, bytes(content))
    raw = bytearray(file.read_bytes())
    at = raw.find(b"PK\x01\x02")
    if how == "lies":
        raw[at + 24 : at + 28] = rng.choice((10, 2**31)).to_bytes(4, "little")
    elif how == "encrypted":
        raw[at + 8] |= 1
    elif how == "packed again":
        raw[at + 10] = rng.choice((1, 12, 14, 99))
    file.write_bytes(raw)
    return f"zip: {name.rpartition('-')[2]} {how}", ""


def array(file: Path, rng: Random) -> Told:
    """A variable or a coordinate of a NetCDF spoiled: its numbers, its unit, its kind, itself."""
    with xr.open_dataset(file, engine="h5netcdf") as opened:
        data = opened.load()
    name = rng.choice(sorted(map(str, data.variables)))
    values = data[name]
    number = values.dtype.kind in "fiu"
    how = rng.choice(("nan", "inf", "huge", "less than 0", "half") if number else ("gone",))
    how = rng.choice((how, how, "gone", "text", "unit", "attributes", "one less", "turned"))
    if how == "gone":
        data = data.drop_vars(name)
    elif how == "text":
        data = data.drop_vars(name).assign({name: (values.dims, values.astype(str).values)})
    elif how == "unit":
        data[name].attrs["units"] = rng.choice(("furlongs", "", "K", "Pa s"))
    elif how == "attributes":
        data.attrs = {key: rng.choice(VALUES[:-3]) for key in data.attrs}
    elif how in ("one less", "turned") and values.dims:
        part = slice(1, None) if how == "one less" else slice(None, None, -1)
        data = data.isel({values.dims[0]: part})
    else:
        change: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
            "nan": lambda v: v * np.nan, "inf": lambda v: v * np.inf, "huge": lambda v: v * 1e30,
            "less than 0": lambda v: -1 - abs(v), "half": lambda v: v / 2,
        }  # fmt: skip
        new = change.get(how, lambda v: v)(values.astype(float) if number else values)
        data = data.assign_coords({name: new}) if name in data.coords else data.assign({name: new})
    file.unlink()
    try:
        data.to_netcdf(file, engine="h5netcdf")
    except (ValueError, TypeError):
        file.write_bytes(b"CDF\x01")
    return f"{name} {how}", name


def named(file: Path, rng: Random) -> Told:
    """Another name for a file and all that begins like it."""
    new = rng.choice((b"caf\xe9", "日本語 ☃".encode(), b"a b\tc", b"x" * 150, b"%s{}$(id)", b"-h"))
    stem, other = file.name.partition("-")[0], os.fsdecode(new)
    for path in list(file.parent.iterdir()):
        if path.name.startswith(stem):
            path.rename(path.with_name(path.name.replace(stem, other, 1)))
    return f"{file.suffix} named {new!r}", ""


def remove(path: Path) -> None:
    """A folder with whatever it holds."""
    shutil.rmtree(path, ignore_errors=True)
