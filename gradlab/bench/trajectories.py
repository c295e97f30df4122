"""The paths of optimizers over two-dimensional landscapes."""

import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import gradlab as gl
from gradlab import problems
from gradlab.bench.configure import configured
from gradlab.bench.programs import descend
from gradlab.bench.results import Trajectory
from gradlab.bench.study import OptimizerSpec, Study


def record(study: Study, spec: OptimizerSpec, path: Path) -> None:
    """Runs an optimizer on all landscapes with all learning rates, and stores the best paths.

    On each landscape the path that ends lowest is stored; where none stays finite, the one of the
    smallest rate.

    Args:
        study: the study.
        spec: its optimizer.
        path: the Parquet file to write.
    """
    landscapes = [problems.landscape(name) for name in study.trajectories.landscapes]
    rates, steps = study.trajectories.rates, study.trajectories.steps
    opts = gl.stack([configured(spec, rate, study.schedule, steps) for rate in rates])
    points, values = (np.asarray(x, np.float64) for x in _paths(opts, landscapes, steps))
    tables = []
    for index, landscape in enumerate(landscapes):
        ends = np.where(np.isfinite(values[index, :, -1]), values[index, :, -1], np.inf)
        best = int(np.argmin(ends))
        columns = {
            "landscape": [landscape.name] * (steps + 1),
            "learning_rate": np.full(steps + 1, rates[best]),
            "step": np.arange(steps + 1),
            "x": points[index, best, :, 0],
            "y": points[index, best, :, 1],
            "value": values[index, best],
        }
        tables.append(pa.table(columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.concat_tables(tables), temporary)
    temporary.replace(path)


def _paths(opts: gl.Transform, landscapes: Sequence[problems.Landscape], steps: int):
    """Points `[landscapes, rates, steps + 1, 2]` and values `[landscapes, rates, steps + 1]`."""
    functions = [landscape.function for landscape in landscapes]

    def path(opt, which, start):
        # One program for all landscapes: under `vmap` the switch evaluates each of them, which
        # costs nothing in two dimensions, and compiling is what takes the time here.
        def value_fn(point):
            return jax.lax.switch(which, functions, point)

        def step(carry, count):
            point, state = carry
            key = jax.random.fold_in(jax.random.PRNGKey(0), count)
            after, state, value = descend(value_fn, opt, point, state, key)
            return (after, state), (point, value)

        (end, _), (points, values) = jax.lax.scan(step, (start, opt.init(start)), jnp.arange(steps))
        points = jnp.concatenate([points, end[None]])
        return points, jnp.concatenate([values, value_fn(end)[None]])

    starts = jnp.asarray([landscape.start for landscape in landscapes], jnp.float32)
    over_rates = jax.vmap(path, in_axes=(gl.axes(opts), None, None))
    return jax.jit(jax.vmap(over_rates, in_axes=(None, 0, 0)))(
        opts, jnp.arange(len(landscapes)), starts
    )


def read(path: Path, label: str) -> tuple[Trajectory, ...]:
    """Reads the stored paths of one optimizer.

    Args:
        path: the Parquet file.
        label: the optimizer's label.

    Returns:
        One trajectory for each landscape.
    """
    table = pq.read_table(path)
    names = np.array(table["landscape"].to_pylist())
    rates, x, y, values = (table[c].to_numpy() for c in ("learning_rate", "x", "y", "value"))
    found = []
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        points = np.stack([x[own], y[own]], axis=-1)
        found.append(Trajectory(name, label, float(rates[own][0]), points, values[own]))
    return tuple(found)
