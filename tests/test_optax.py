"""`import gradlab as optax` loses nothing: names, signatures, state, checkpoints, types."""

import importlib
import inspect
import subprocess
import sys
import textwrap
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import gradlab as gl
from gradlab import catalog


def resolves(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return hasattr(optax, name)


DEPRECATED = tuple(filter(resolves, optax._deprecations))


def public_names(module):
    return {name for name in dir(module) if not name.startswith("_")} - set(optax._deprecations)


def submodules():
    found = {"": optax}
    for name in sorted(public_names(optax)):
        value = getattr(optax, name)
        if isinstance(value, types.ModuleType):
            found[name] = value
    return found


@pytest.mark.parametrize("path", submodules())
def test_every_public_name_of_optax_is_reachable_under_the_same_path(path):
    theirs = importlib.import_module(f"optax.{path}".rstrip("."))
    ours = importlib.import_module(f"gradlab.{path}".rstrip("."))
    missing = {name for name in public_names(theirs) if not hasattr(ours, name)}
    assert not missing


@pytest.mark.parametrize("name", DEPRECATED)
def test_deprecated_names_of_optax_resolve_with_its_warning(name):
    with pytest.warns(DeprecationWarning, match=name):
        assert getattr(gl, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'adamww'"):
        _ = gl.adamww


def own_functions():
    """Names that gradlab implements itself although optax has them, with their paths."""
    for path, theirs in submodules().items():
        ours = importlib.import_module(f"gradlab.{path}".rstrip("."))
        for name in sorted(public_names(theirs)):
            mine, foreign = getattr(ours, name), getattr(theirs, name)
            if callable(foreign) and mine is not foreign and not inspect.isclass(foreign):
                yield pytest.param(mine, foreign, id=f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize(("ours", "theirs"), list(own_functions()))
def test_signatures_begin_as_optaxs_do(ours, theirs):
    mine = inspect.signature(ours).parameters
    foreign = inspect.signature(theirs).parameters
    for name, parameter in foreign.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            assert any(p.kind is parameter.kind for p in mine.values())
            continue
        assert name in mine
        assert mine[name].kind == parameter.kind
        if parameter.default is not parameter.empty and callable(parameter.default):
            assert mine[name].default(16.0) == parameter.default(16.0)
        else:
            assert mine[name].default == parameter.default
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    order = [n for n, p in foreign.items() if p.kind is positional]
    assert [n for n, p in mine.items() if p.kind is positional][: len(order)] == order
    for name in set(mine) - set(foreign):
        assert mine[name].default is not inspect.Parameter.empty or mine[name].kind in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        )


def test_gradlabs_own_rules_are_the_ones_reached():
    for entry in catalog.entries():
        assert getattr(gl, entry.name) is entry.function
        if hasattr(optax.contrib, entry.name) and entry.name != "sam":
            assert getattr(gl.contrib, entry.name) is entry.function
    assert gl.chain is gl.core.chain
    assert gl.transforms.chain is gl.core.chain
    assert gl.global_norm is gl.core.global_norm
    assert gl.linear_schedule is gl.schedules.linear_schedule


def swap(source):
    """The program with its import swapped."""
    return source.replace("import optax\n", "import gradlab as optax\n").replace(
        "from optax import", "from gradlab import"
    )


EXAMPLE = Path(__file__).parent / "optax_example.py"


def test_an_unchanged_optax_program_runs_and_gives_the_same_numbers(tmp_path):
    source = EXAMPLE.read_text()
    results = []
    for name, text in (
        ("theirs", source),
        ("ours", swap(source)),
    ):
        program = tmp_path / f"{name}.py"
        program.write_text(text)
        run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
        results.append(np.array([float(x) for x in run.stdout.split()]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


@pytest.mark.parametrize("swapped", [False, True], ids=["optax", "gradlab"])
def test_an_unchanged_optax_program_type_checks(swapped, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(swap(EXAMPLE.read_text()) if swapped else EXAMPLE.read_text())
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "basic"}')
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_optax_is_pinned_to_the_range_that_is_tested():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    line = next(x for x in text.splitlines() if x.strip().startswith('"optax'))
    allowed = SpecifierSet(line.split('"')[1].removeprefix("optax"))
    assert Version(optax.__version__) in allowed
    assert Version("0.2.7") not in allowed
    assert Version("0.3.0") not in allowed


PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}
SHARED = [
    e.name for e in catalog.entries() if hasattr(optax, e.name) or hasattr(optax.contrib, e.name)
]


def words(x):
    """A key as its raw words; anything else as it is."""
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def half_of_squares(params):
    """The objective whose gradient the parameters themselves are."""
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(params)) / 2


@pytest.mark.parametrize("name", SHARED)
def test_an_optax_checkpoint_restores_into_ours_and_back(name, tmp_path):
    if name == "sam":
        ours = gl.contrib.sam(gl.sgd(0.1), gl.sgd(0.05))
        theirs = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.05))
    else:
        ours = catalog.get(name).make()
        foreign = getattr(optax, name, None) or getattr(optax.contrib, name)
        theirs = foreign(**catalog.get(name).example)
    # Optax's lookahead moves pairs.
    params = optax.LookaheadParams.init_synced(PARAMS) if name == "lookahead" else PARAMS
    if not jax.tree.leaves(theirs.init(params)):
        assert jax.tree.structure(theirs.init(params)) == jax.tree.structure(ours.init(params))
        return
    extra = {"value": jnp.float32(29.0), "grad": PARAMS, "value_fn": half_of_squares}
    extra = {name: extra[name] for name in ours.rule.required()}
    checkpointer = ocp.StandardCheckpointer()
    for index, (source, target) in enumerate(((theirs, ours), (ours, theirs))):
        _, state = source.update(PARAMS, source.init(params), params, **extra)
        checkpointer.save(tmp_path / str(index), state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / str(index), target.init(params))
        assert jax.tree.structure(restored) == jax.tree.structure(target.init(params))
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
            np.testing.assert_array_equal(words(a), words(b))
        target.update(PARAMS, restored, params, **extra)


def test_importing_gradlab_loads_only_its_core_dependencies():
    code = textwrap.dedent(
        """
        import sys, gradlab
        loaded = {name.split(".")[0] for name in sys.modules}
        heavy = {"flax", "orbax", "optuna", "pandas", "plotly", "pyarrow", "pydantic", "rich",
                 "sklearn", "torch", "typer", "equinox", "matplotlib", "treescope", "pytest"}
        print(sorted(loaded & heavy))
        """
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
