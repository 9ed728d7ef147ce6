"""Variables of HDF5 and NetCDF-4 files by their names, in whatever groups; read by windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.files import regular
from sifnet.scenes.formats.lazy import Window

Array = NDArray[np.float64]
FAR = 8  # bands, a gap between wanted ones that is not worth reading


@dataclass(frozen=True)
class Variable:
    """A variable in a file, not read yet.

    Attributes:
        path: of its groups and its name.
        dimensions: names, empty where the file has none for it.
        fill: that stands for nothing; None where the file states none.
    """

    file: Path
    path: str
    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def fill(self) -> float | None:
        for name in ("_FillValue", "missing_value"):
            if name in self.attributes:
                return float(np.ravel(self.attributes[name])[0])
        return None

    def numbers(self, key: Any = ()) -> NDArray[Any]:
        """As stored.

        Raises:
            SifnetError: the file is damaged there.
        """
        try:
            with h5py.File(self.file, "r") as file:
                return np.asarray(file[self.path][key])
        except (OSError, KeyError, RuntimeError) as problem:
            raise SifnetError(
                f"{self.path} cannot be read",
                found=str(problem).split("\n")[0],
                expected="a whole file",
                remedy="Download the product again.",
                file=self.file,
            ) from problem

    def values(self, key: Any = (), *, fill: float | None = None) -> Array:
        """Scaled; not a number where it is filled.

        Args:
            fill: where the file states none.
        """
        return self.scaled(self.numbers(key), fill).astype(float)

    def scaled(self, numbers: NDArray[Any], fill: float | None = None) -> NDArray[np.floating]:
        """Numbers as stored to what they mean: scale x number + offset."""
        nothing = fill if self.fill is None else self.fill
        short = numbers.dtype.kind in "iu" and numbers.itemsize < 4
        scale, offset = (
            float(np.ravel(self.attributes.get(name, usual))[0])
            for name, usual in (("scale_factor", 1.0), ("add_offset", 0.0))
        )
        meant: NDArray[np.floating] = numbers.astype(np.float32 if short else np.float64)
        meant *= scale
        meant += offset
        if nothing is not None:
            meant[numbers == np.asarray(nothing).astype(numbers.dtype)] = np.nan
        return meant


@dataclass(frozen=True)
class Contents:
    """The variables of a product's files, by the last part of their names.

    Attributes:
        attributes: of the files themselves.
    """

    files: tuple[Path, ...]
    variables: dict[str, Variable]
    attributes: dict[str, Any]

    @classmethod
    def of(cls, files: Iterable[Path]) -> Contents:
        """Of all files; what a file has first counts.

        Raises:
            SifnetError: a file is no HDF5.
        """
        found: dict[str, Variable] = {}
        about: dict[str, Any] = {}
        files = tuple(files)
        for file in files:
            try:
                with h5py.File(regular(file), "r") as opened:
                    for variable in _variables(opened, file):
                        found.setdefault(variable.path.rsplit("/", 1)[-1], variable)
                    about = {**opened.attrs, **about}
            except OSError as problem:
                raise SifnetError(
                    "this is not a readable NetCDF-4 file",
                    found=str(problem).split("\n")[0],
                    expected="a whole file of the product",
                    remedy="Download the product again.",
                    file=file,
                ) from problem
        return cls(files, found, about)

    def __contains__(self, name: str) -> bool:
        return name in self.variables

    def get(self, name: str) -> Variable | None:
        return self.variables.get(name)

    def needed(self, name: str) -> Variable:
        """A variable without which there is no scene.

        Raises:
            SifnetError: it is not there.
        """
        if name not in self.variables:
            few = ", ".join(sorted(self.variables)[:6])
            raise SifnetError(
                f"the product has no {name}",
                found=f"{len(self.variables)} variables{f': {few}, ...' if few else ''}",
                expected=name,
                remedy="Check that all files of the product are in the folder, and its level.",
                file=self.files[0] if self.files else None,
            )
        return self.variables[name]

    def stated(self, name: str) -> Any:
        """An attribute of the files, as text, number or array.

        Raises:
            SifnetError: it is not there.
        """
        if name not in self.attributes:
            raise SifnetError(
                f"the product does not state {name}",
                found=f"{len(self.attributes)} attributes",
                expected=name,
                remedy="The product is damaged: download it again.",
                file=self.files[0] if self.files else None,
            )
        array = np.asarray(self.attributes[name])
        value = array.item() if array.size == 1 else array
        return value.decode() if isinstance(value, bytes) else value


def _variables(opened: h5py.File, file: Path) -> list[Variable]:
    found: list[Variable] = []

    def note(path: str, node: h5py.Dataset | h5py.Group) -> None:
        if isinstance(node, h5py.Dataset):
            attributes = {k: v for k, v in node.attrs.items() if k not in _PLUMBING}
            found.append(Variable(file, path, node.shape, _dimensions(node), attributes))

    opened.visititems(note)
    return found


_PLUMBING = ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME")


def _dimensions(node: h5py.Dataset) -> tuple[str, ...]:
    names = tuple(dim[0].name.rsplit("/", 1)[-1] if len(dim) else "" for dim in node.dims)
    return names if all(names) else ()


class Cube(Window):
    """A variable on lines, samples and a third axis, in whatever order it is stored, scaled."""

    dtype = np.dtype(np.float32)

    def __init__(
        self, variable: Variable, axes: Sequence[int], bands: NDArray[np.intp], fill: float | None
    ) -> None:
        """Nothing is read yet.

        Args:
            axes: of the file that are line, sample and band.
            bands: which of the third axis, in their order. fill: where the file states none.
        """
        self.variable, self.axes, self.bands, self.fill = variable, tuple(axes), bands, fill
        self.shape = (*(variable.shape[axis] for axis in axes[:2]), len(bands))

    def read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        line, sample, band = (_several(part) for part in key)
        wanted: list[Any] = [line, sample, self.bands[band]]
        stored = [wanted[self.axes.index(axis)] for axis in range(3)]
        values = _picked(self.variable, stored, self.axes[2], self.fill)
        values = np.transpose(values, self.axes)
        return values[_single(key)]


def _several(part: Any) -> Any:
    """A key that keeps its axis."""
    return part if isinstance(part, slice | np.ndarray | list) else slice(int(part), int(part) + 1)


def _single(key: Sequence[Any]) -> tuple[Any, ...]:
    """Drops the axes of which a key wanted one place, after all were kept."""
    return tuple(slice(None) if isinstance(k, slice | np.ndarray | list) else 0 for k in key)


def _picked(
    variable: Variable, key: list[Any], axis: int, fill: float | None
) -> NDArray[np.float32]:
    """Values where the key of an axis is indices in any order: neighbours are read together."""
    bands, place = np.unique(np.asarray(key[axis]), return_inverse=True)
    parts = []
    for run in np.split(bands, np.flatnonzero(np.diff(bands) > FAR) + 1):
        key[axis] = slice(int(run[0]), int(run[-1]) + 1)
        read = variable.scaled(variable.numbers(tuple(key)), fill).astype(np.float32)
        parts.append(np.take(read, run - run[0], axis=axis))
    return np.take(np.concatenate(parts, axis=axis), place.ravel(), axis=axis)


class Planes(Window):
    """Bands that are a variable (line, sample) each, scaled."""

    dtype = np.dtype(np.float32)

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)
        self.shape = (*variables[0].shape, len(variables))

    def read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        *place, band = key
        chosen = np.arange(len(self.variables))[band]
        one = np.ndim(chosen) == 0
        planes = [self._plane(self.variables[int(i)], place) for i in np.atleast_1d(chosen)]
        return planes[0] if one else np.stack(planes, axis=-1)

    def _plane(self, variable: Variable, place: list[Any]) -> NDArray[np.float32]:
        lines, samples = (_several(part) for part in place)
        read = variable.scaled(variable.numbers((lines, samples))).astype(np.float32)
        return read[_single(place)]
