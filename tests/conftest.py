"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of sifnet is imported: shapes in signatures are checked by the test run only.
install_import_hook(["sifnet.physics", "sifnet.retrieval"], "shapes.checked")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of reference data beside the project; tests that need it skip where it is absent."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.exists():
        pytest.skip(f"reference data absent: {folder} does not exist")
    return folder
