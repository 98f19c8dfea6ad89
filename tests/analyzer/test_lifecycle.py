from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from vllm_lint.analyzer.lifecycle import Lifecycle, Stage, holds_for, parsed

VERSIONS = ("2.9", "2.9.0", "2.9.1", "2.11.0", "2.11.0+cpu", "2.13.0", "2.13.0+cu130", "3.0", "10.2.1")
SPECIFIERS = (
    ">=2.9",
    ">2.9",
    "<2.13",
    ">=2.9,<2.13",
    ">= 2.9 , <= 2.11",
    "==2.13",
    "!=2.13.0",
    ">=2.13,!=3",
    "<3,>2.11",
)


@pytest.mark.parametrize("specifier", SPECIFIERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_ranges_mean_what_packaging_says(specifier: str, version: str) -> None:
    public = Version(version).public  # torch's local part names its build, and is compared by none of our ranges
    assert holds_for(specifier, version) == SpecifierSet(specifier).contains(public)


def test_a_nightly_counts_as_its_release() -> None:
    assert parsed("2.14.0.dev20260801+cu130") == parsed("2.14") == (2, 14)
    assert parsed("2.10") > parsed("2.9.1")
    assert holds_for(">=2.14", "2.14.0a0+gitabc")


@pytest.mark.parametrize(
    ("specifier", "version"), [("", "2.9"), ("2.9", "2.9"), ("~=2.9", "2.9"), (">=2.9;<3", "2.9"), (">=2.9", "main")]
)
def test_what_cannot_be_read_is_refused(specifier: str, version: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        holds_for(specifier, version)


def test_the_last_stage_that_began_counts() -> None:
    life = Lifecycle(preview="0.1.0", stable="0.2.0", deprecated="0.4.0", replaced_by="VL201")
    assert (life.stage, life.since) == (Stage.DEPRECATED, "0.4.0")
    assert str(life) == "deprecated since 0.4.0, use VL201"
    assert list(life.history) == [Stage.PREVIEW, Stage.STABLE, Stage.DEPRECATED]
