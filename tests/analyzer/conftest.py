from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes depends on what else the machine does, and so says nothing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

NOBODY = 65534


@pytest.fixture
def closed_to_us() -> Iterator[Path]:
    """An empty folder in which permissions bind: as root, the test runs as nobody meanwhile."""
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, whose parents only root may enter
        folder = Path(name).resolve()
        if os.geteuid() != 0:
            yield folder
            return
        os.chown(folder, NOBODY, -1)
        try:
            os.seteuid(NOBODY)
        except OSError:
            pytest.skip("root here cannot give up its rights, and permissions do not bind root")
        try:
            yield folder
        finally:
            os.seteuid(0)
