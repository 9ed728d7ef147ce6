"""The measured spectra of ``anchors.py``, and what is known beside them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import DATA, Array

REAL = DATA / "real"
PARK_FALLS_2009 = DATA / "tccon" / "tccon_parkfalls_20091103_1323_directsun_12900_14600.npz"
WINDOW = (12_910.0, 13_220.0)  # cm-1: the band, and clear ends that tie the continuum down


@dataclass(frozen=True)
class DirectSun:
    """A spectrum of the sun's disc by a Fourier transform spectrometer on the ground.

    Attributes:
        wavenumber, signal: ``n``, cm-1 and arbitrary units.
        pressure, altitude_km, latitude: hPa and degrees, at the ground.
        apparent_zenith: degrees, as refracted; ``zenith_sd`` its uncertainty.
        profile: the AFGL climatology of season and latitude.
        path_difference: cm, largest.
        field: rad, half angle of the entrance aperture.
    """

    name: str
    wavenumber: Array
    signal: Array
    pressure: float
    altitude_km: float
    latitude: float
    apparent_zenith: float
    zenith_sd: float
    profile: str
    path_difference: float
    field: float

    @property
    def airmass_error(self) -> float:
        """Relative, of a flat atmosphere: tan(zenith) times the error of the zenith angle."""
        z, sd = np.radians([self.apparent_zenith, self.zenith_sd])
        return float(np.tan(z) * sd)


@dataclass(frozen=True)
class Desert:
    """Sunlight from ground without plants, seen from orbit.

    Attributes:
        wavelength, radiance: ``n``, nm in vacuum and mW m-2 nm-1 sr-1, all polarisations.
        noise: of a sample, mW m-2 nm-1 sr-1.
        pressure, pressure_sd: hPa, at the ground.
        aot_550: as known from elsewhere.
        response: relative ``offset`` (cm-1) and value of the maker's response, or its FWHM in nm.
    """

    name: str
    wavelength: Array
    radiance: Array
    noise: float
    pressure: float
    pressure_sd: float
    altitude_km: float
    latitude: float
    solar_zenith: float
    view_zenith: float
    aot_550: float
    profile: str
    response: tuple[Array, Array] | float


def opus(path: Path) -> tuple[dict[str, float | str], Array, Array]:
    """Header, wavenumber (cm-1) and spectrum of a Bruker OPUS file (blocks of its directory).

    A block's entry is (type, length in 4-byte words, offset); parameters are a name of 3 letters,
    kind and length, then a 4-byte integer, an 8-byte float or text.
    """
    content = path.read_bytes()
    start, _, count = struct.unpack_from("<III", content, 12)
    header: dict[str, float | str] = {}
    for entry in range(count):
        kind, words, at = struct.unpack_from("<III", content, start + 12 * entry)
        if kind & 0xFFFF == 0x0407:
            spectrum = np.frombuffer(content, "<f4", words, at).astype(float)
        elif kind != 0x3400:  # the directory itself
            header |= _parameters(content[at : at + 4 * words])
    wavenumber = np.linspace(float(header["FXV"]), float(header["LXV"]), int(header["NPT"]))
    return header, wavenumber, spectrum[: len(wavenumber)]


def _parameters(block: bytes) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    at = 0
    while block[at : at + 3] not in (b"END", b""):
        kind, words = struct.unpack_from("<HH", block, at + 4)
        raw = block[at + 8 : at + 8 + 2 * words]
        if kind == 0:
            value: float | str = struct.unpack("<i", raw[:4])[0]
        elif kind == 1:
            value = struct.unpack("<d", raw[:8])[0]
        else:
            value = raw.split(b"\0")[0].decode("latin-1")
        found[block[at : at + 3].decode("latin-1")] = value
        at += 8 + 2 * words
    return found


def tccon(path: Path, profile: str, seconds: float,
          window: tuple[float, float] = WINDOW) -> DirectSun:  # fmt: skip
    """A TCCON spectrum; its time, of zero path difference, is right to ``seconds``."""
    import pandas as pd
    from pvlib.solarposition import spa_python

    header, wavenumber, signal = opus(path)
    day, clock = str(header["DAT"]), str(header["TIM"]).split(" ")[0]
    time = pd.Timestamp(f"{'-'.join(day.split('/')[::-1])} {clock}", tz="UTC")
    place = float(header["LAT"]), float(header["LON"]), float(header["ALT"])
    when = pd.DatetimeIndex([time, time + pd.Timedelta(seconds=seconds)])
    zenith = spa_python(when, *place, 100 * float(header["POU"]), float(header["TOU"]),
                        delta_t=66)["apparent_zenith"].to_numpy()  # fmt: skip
    inside = (wavenumber > window[0]) & (wavenumber < window[1])
    return DirectSun(
        f"TCCON {path.stem[:10]}", wavenumber[inside], signal[inside], float(header["POU"]),
        place[2] / 1e3, place[0], zenith[0], abs(zenith[1] - zenith[0]), profile,
        float(header["OPL"]), 0.5 * float(str(header["APT"]).split(" ")[0]) / float(header["FOC"]),
    )  # fmt: skip


def park_falls_2009(window: tuple[float, float] = WINDOW) -> DirectSun:
    """3 November 2009, 13:23, sun at 84.57, refracted or not: air mass is known to 1.5 %."""
    with np.load(PARK_FALLS_2009) as stored:
        wavenumber, signal = stored["wavenumber_cm1"], stored["intensity_arb"].astype(float)
    inside = (wavenumber > window[0]) & (wavenumber < window[1])
    return DirectSun("TCCON pa20091103", wavenumber[inside], signal[inside], 969.1, 0.442, 45.9448,
                     84.49, 0.08, "subarctic_winter", 45.0, 0.5 / 418)  # fmt: skip


def direct_suns(window: tuple[float, float] = WINDOW) -> list[DirectSun]:
    """Cold and dry, warm and humid, and a sun close to the horizon."""
    return [
        tccon(REAL / "pa20041222saaaab.001", "subarctic_winter", 20.0, window),
        tccon(REAL / "wg20090206saebab.001", "midlatitude_summer", 20.0, window),
        park_falls_2009(window),
    ]


def railroad_valley() -> Desert:
    """OCO-2 over a playa; of one polarisation, so doubled; pressure as its L2 product has it."""
    (path,) = REAL.glob("oco2_railroad_valley_*.csv")
    wavelength, radiance = np.loadtxt(path, delimiter=",", comments="#", skiprows=6).T
    good = slice(95, -70)
    # Continuum SNR of about 400 at this radiance (OCO-2's requirement is 360 at less light).
    return Desert("OCO-2 Railroad Valley", wavelength[good], 2 * radiance[good], 0.3, 857.9, 1.5,
                  1.435, 38.38, 24.90, 0.52, 0.071, "midlatitude_summer", 0.0415)  # fmt: skip


def mojave() -> Desert:
    """GOSAT over the Mojave: mean of both polarisations; pressure from altitude alone."""
    import h5py

    with h5py.File(REAL / "gosat_mojave_20090627.h5") as file:
        first, step = file["SoundingHeader/wavenumber_coefficients"][0, 0, 0]
        both = file["SoundingSpectra/radiance_o2"][0].astype(float)  # W cm-2 sr-1 / cm-1
        snr = file["SoundingSpectra/snr_o2"][0]
        offset = file["InstrumentHeader/ils_coef_relative_wavenumber_o2"][:]
        response = file["InstrumentHeader/ils_coef_o2"][:, 1].mean(0)
        altitude = float(file["FootprintGeometry/footprint_altitude"][0, 0, 0]) / 1e3
        sun, view = (float(file[f"FootprintGeometry/footprint_{name}zenith"][0, 0, 0])
                     for name in ("solar_", ""))  # fmt: skip
    wavenumber = first + step * np.arange(both.shape[1])
    inside = (wavenumber > 12_943.0) & (wavenumber < 13_190.0)
    # W cm-2 sr-1 per cm-1 into mW m-2 sr-1 per nm: 1e7 / cm-1 is the wavelength.
    unit = 1e4 * 1e3 * wavenumber**2 / 1e7
    radiance = unit * both.mean(0)
    sigma = float(radiance.max() / np.hypot(*snr))
    wavelength, radiance = 1e7 / wavenumber[inside][::-1], radiance[inside][::-1]
    return Desert(
        "GOSAT Mojave",
        wavelength,
        radiance,
        sigma,
        869.0,
        4.0,
        altitude,
        35.29,
        sun,
        view,
        0.08,
        "midlatitude_summer",
        (offset, response),
    )
