"""What is built and installed is whole."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked where Python finds it as an installation without the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        folder,
        ROOT,
    ]
    subprocess.run(pip, check=True, cwd=folder)
    (wheel,) = folder.glob("gradlab-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_data_types_and_studies(installed):
    names = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    for needed in (
        "gradlab/py.typed",
        "gradlab/bibliography.toml",
        "gradlab/configs/quickstart.toml",
        *(f"gradlab/bench/templates/{name}" for name in ("base.html", "style.css", "script.js")),
        "gradlab/examples/templates/page.html",
    ):
        assert any(name.startswith(needed) for name in names), needed
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_an_installed_gradlab_knows_its_methods_papers_and_studies(installed):
    code = """
import gradlab, pathlib
from gradlab.bench import library
assert "site" in pathlib.Path(gradlab.__file__).parts, gradlab.__file__
assert all(entry.paper[0] in gradlab.catalog.bibliography() for entry in gradlab.catalog.entries())
print(len(gradlab.catalog.entries()), *library.shipped())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(installed), "PATH": "", "JAX_PLATFORMS": "cpu"},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[0]) >= 22
    assert "quickstart" in run.stdout
