"""A product made once more, from what its own attributes say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sifnet import __version__
from sifnet.batch.run import Job, run
from sifnet.errors import SifnetError
from sifnet.files import sha256
from sifnet.product.provenance import RECORD, made_with, record, sources


def remake(product: str | Path, output: str | Path, command: str = "sifnet from Python") -> Path:
    """Map the scene of a product again as the product was made: its new file.

    Scene, model and what was known of the atmosphere must lie where they lay, unchanged; what is
    not so is named. On the same machine and versions the values are the same, bit for bit: see
    ``differences``.

    Args:
        output: another folder than that of the product.

    Raises:
        SifnetError: what is missing, has changed, or is not in the attributes; or it cannot be
            mapped.
    """
    import torch

    product, output = Path(product), Path(output)
    attrs = record(product)
    _refuse(product, output, attrs)
    settings = json.loads(attrs["settings"])
    air, labels = (
        Path(attrs[f"{name}_file"]) if f"{name}_file" in attrs else None
        for name in ("atmosphere", "labels")
    )
    # A table of emission is no checkpoint: it is what ships, and is taken without being named.
    model = Path(attrs["model_file"])
    job = Job(output, None if model.suffix == ".csv" else model, settings["sensor"], air, command,
              overwrite=True, labels=labels, aggregate=settings["aggregate"],
              site=settings.get("site"))  # fmt: skip
    if job.settings() != attrs["settings"]:
        raise _changed(product, f"settings {job.settings()}", attrs["settings"])
    threads = torch.get_num_threads()
    torch.set_num_threads(int(attrs["threads"]))
    try:
        (outcome,) = run(job, [Path(attrs["scene_path"])])
    finally:
        torch.set_num_threads(threads)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.product is not None
    return outcome.product


def differences(one: str | Path, other: str | Path) -> list[str]:
    """The variables in which two products differ in any bit; attributes and record may."""
    from sifnet.product.netcdf import opened

    with opened(one) as first, opened(other) as second:
        names = {str(name) for name in first.variables.keys() | second.variables.keys()} - {RECORD}
        return sorted(
            name
            for name in names
            if name not in first.variables
            or name not in second.variables
            or first[name].values.tobytes() != second[name].values.tobytes()
        )


def other_machine(product: str | Path) -> str | None:
    """With what a product was made, where that is not what would make it now."""
    told = record(Path(product)).get("made_with")
    return None if told == made_with() else str(told)


def _refuse(product: Path, output: Path, attrs: Mapping[str, Any]) -> None:
    """Refuse what cannot be made again, by what is missing."""
    needed = ("settings", "scene_path", "model_file", "model_sha256", "source_sha256", "threads")
    if absent := [name for name in needed if name not in attrs]:
        raise SifnetError(
            "this product cannot be remade from its attributes",
            found=f"no {', '.join(absent)}" if attrs else "no attributes",
            expected="a product of `sifnet retrieve` or `sifnet fit`, of this version",
            remedy="Map its scene with `sifnet retrieve`.",
            file=product,
        )
    if attrs["sifnet_version"] != __version__:
        raise _changed(product, f"sifnet {__version__}", f"sifnet {attrs['sifnet_version']}")
    if output.resolve() == product.parent.resolve():
        raise SifnetError(
            "a product is not remade in its own place",
            found=output,
            expected="another folder",
            remedy="Choose one with -o.",
            file=product,
        )
    told = dict(zip(sources(attrs), str(attrs["source_sha256"]).split("\n"), strict=True))
    told[Path(attrs["model_file"])] = attrs["model_sha256"]
    for file, checksum in told.items():
        found = sha256(file) if file.is_file() else "no such file"
        if found != checksum:
            raise _changed(product, f"{file}: {found}", f"SHA-256 {checksum}")
    settings = json.loads(attrs["settings"])
    for name in ("atmosphere", "labels"):
        file = Path(attrs.get(f"{name}_file", "?"))
        found = sha256(file) if file.is_file() else "no such file"
        if settings[name] is not None and found != settings[name]:
            raise _changed(product, f"{file}: {found}", f"SHA-256 {settings[name]}")


def _changed(product: Path, found: str, expected: str) -> SifnetError:
    return SifnetError(
        "what this product was made of is not there as it was",
        found=found,
        expected=expected,
        remedy="Bring it back to where it was, or map the scene anew with `sifnet retrieve`.",
        file=product,
    )
