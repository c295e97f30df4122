"""Eight simulated CPU devices for every test, before jax is imported."""

import os

# Programs, not tests: one runs in the reference environment, one in a process of its own.
collect_ignore_glob = ["reference/generate*", "optax_example.py"]

os.environ.setdefault("JAX_PLATFORMS", "cpu")
flags = os.environ.get("XLA_FLAGS", "")
if "host_platform_device_count" not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8".strip()
