"""Open a page in Chromium, click the middle of its map, and keep a picture of before and after.

    python tests/first_hour_browser.py report.html FOLDER

Speaks WebDriver by itself, so that a user's environment needs no library for it; nothing of the
network is reached. Fails where the page's script complains, or a click on the map tells nothing.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1400,1000"]  # fmt: skip
PORT = 9517
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the name that the standard gives a reference


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The driver's answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}", data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


def look(page: Path, folder: Path) -> None:
    """Open, click, photograph."""
    options = {"binary": shutil.which("chromium"), "args": ARGUMENTS}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    session = ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
    at = f"/session/{session}"

    def script(code: str, *arguments: Any) -> Any:
        return ask("POST", f"{at}/execute/sync", {"script": code, "args": list(arguments)})

    def photograph(name: str) -> None:
        (folder / name).write_bytes(base64.b64decode(ask("GET", f"{at}/screenshot")))

    try:
        ask("POST", f"{at}/url", {"url": page.resolve().as_uri()})
        interactive = script("return Boolean(document.getElementById('mapbox'))")
        end = time.monotonic() + 60
        while interactive and script("return document.body.dataset.ready") != "yes":
            if time.monotonic() > end:
                raise SystemExit("the page did not become ready")
            time.sleep(0.2)
        photograph("report_opened.png")
        box = script("return document.querySelector('#themap, img')")
        if box is None:
            raise SystemExit("the page has no map")
        move = {"type": "pointerMove", "duration": 50, "origin": {ELEMENT: box[ELEMENT]},
                "x": -40, "y": -40}  # fmt: skip
        press = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": "mouse", "actions": press}
        ask("POST", f"{at}/actions", {"actions": [pointer]})
        time.sleep(1)
        if interactive:
            told = script("return [document.getElementById('value').textContent,"
                          " document.getElementById('where').textContent]")  # fmt: skip
            if not told[0]:
                raise SystemExit("a click on the map tells nothing")
            print("clicked:", *told)
        photograph("report_clicked.png")
        log = ask("POST", f"{at}/se/log", {"type": "browser"})
        complaints = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        if complaints:
            raise SystemExit("\n".join(complaints))
    finally:
        ask("DELETE", at)


def main() -> None:
    """Start the driver, look, and stop it."""
    page, folder = map(Path, sys.argv[1:])
    command = [str(shutil.which("chromedriver")), f"--port={PORT}"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                ask("GET", "/status")
                break
            except OSError:
                time.sleep(0.1)
        look(page, folder)
    finally:
        driver.terminate()
        driver.wait()


if __name__ == "__main__":
    main()
