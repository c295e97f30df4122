"""Eight simulated CPU devices for every test, before jax is imported."""

import gc
import os
from pathlib import Path

import pytest

# Programs, not tests: one runs in the reference environment, one in a process of its own.
collect_ignore_glob = ["reference/generat*", "optax_example.py"]

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# XLA's newer way to generate code for fusions takes two thirds longer to compile, and tests run
# a program once. What is said of memory is looked at in programs compiled as ever.
for flag, value in (
    ("xla_force_host_platform_device_count", "8"),
    ("xla_cpu_use_fusion_emitters", "false"),
):
    given = os.environ.get("XLA_FLAGS", "")
    if flag not in given:
        os.environ["XLA_FLAGS"] = f"{given} --{flag}={value}".strip()

# Traced programs are many small objects that live long: looking through them all takes a tenth of
# the time at Python's own thresholds.
gc.set_threshold(100_000, 20, 20)

# Left out of the quick subset: whole programs, subprocesses, and the contract of every method.
SLOW = (
    "aggregators/",
    "benchmarks/",
    "bench/test_grid",
    "bench/test_grokking",
    "bench/test_report",
    "bench/test_runner",
    "bench/test_selfcheck_study",
    "bench/test_store",
    "bench/test_trajectories",
    "examples/",
    "linalg/test_balance",
    "linalg/test_lanczos",
    "linalg/test_qp",
    "meta/",
    "optimizers/",
    "projections/",
    "prox/",
    "regularizers/",
    "solvers/",
    "states/",
    "test_cli",
    "test_contract",
    "test_documents",
    "test_frameworks",
    "test_optax",
    "test_wheel",
    "testing/",
    "transforms/",
    "wrappers/",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Workers that are done take over tests of others: contracts take long, and stand together."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            if item.path.relative_to(here).as_posix().startswith(SLOW):
                item.add_marker(pytest.mark.slow)
        else:
            item.add_marker(pytest.mark.slow)  # examples in docstrings
