"""What the documents show works as written, and what is derived is up to date."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from gradlab import _generate, catalog

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_readmes_example_runs(capsys):
    (code,) = python_blocks(README)
    exec(code, {})
    assert "links[0].max_norm" in capsys.readouterr().out


def test_the_catalogue_in_the_readme_is_up_to_date():
    assert _generate.readme() == README, "run `python -m gradlab._generate`"
    for entry in catalog.entries():
        assert f"| `{entry.name}` |" in README


def test_the_page_of_hypergradients_is_up_to_date_and_has_every_method():
    page = _generate.HYPERGRADIENTS.read_text()
    assert _generate.hypergradients() == page, "run `python -m gradlab._generate`"
    assert "(HYPERGRADIENTS.md)" in README
    for entry in catalog.entries():
        assert f"| `{entry.name}` |" in page


@pytest.mark.parametrize("folder", _generate.family_folders(), ids=lambda p: p.name)
def test_typed_exports_are_up_to_date(folder):
    written = (folder / "__init__.py").read_text()
    assert _generate.exported_init(folder) == written, "run `python -m gradlab._generate`"


def test_the_method_of_the_contributing_guide_works_as_written(tmp_path, monkeypatch):
    method, test = python_blocks((ROOT / "CONTRIBUTING.md").read_text())
    name = "gradlab.optimizers.momentum._qhm"
    for module, source in ((name, method), ("test_qhm", test)):
        path = tmp_path / f"{module}.py"
        path.write_text(source.replace("from gradlab.optimizers.momentum import", "import"))
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module, loaded)
        monkeypatch.setitem(sys.modules, "_qhm", sys.modules[name])
        spec.loader.exec_module(loaded)
    loaded.test_qhm_is_the_papers()
    assert sys.modules[name].ENTRY.family == "momentum"
