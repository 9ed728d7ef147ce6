"""A browser without a window, for pages that people look at; tests skip where there is none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1400, 1000), (390, 844)


@contextmanager
def browser(size: tuple[int, int] = DESKTOP) -> Iterator[Any]:
    """Chromium; nothing of the network is reached."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--window-size={size[0]},{size[1]}",
    ):
        options.add_argument(argument)  # fmt: skip
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield page
    finally:
        page.quit()


def sized(page: Any, size: tuple[int, int]) -> None:
    """As a screen of that many pixels, a phone's or a desk's."""
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500},
    )


def opened(page: Any, path: Path, seconds: float = 60.0) -> None:
    """Open a page and wait until its script says that it is ready."""
    page.get(path.resolve().as_uri())
    end = time.monotonic() + seconds
    while page.execute_script("return document.body.dataset.ready") != "yes":
        assert time.monotonic() < end, errors(page)
        time.sleep(0.1)


def errors(page: Any) -> list[str]:
    """What the console complained of."""
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
