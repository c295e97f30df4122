"""A program as optax's users write it; run unchanged with the import swapped."""

import functools

import jax
import jax.numpy as jnp
import optax
from optax import contrib


def loss_fn(params: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    logits = jnp.tanh(x @ params["w"]) @ params["v"] + params["b"]
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))


def make_optimizer(name: str) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, warmup_steps=5, decay_steps=30)
    decays = functools.partial(jax.tree.map, lambda p: p.ndim > 1)
    if name == "adamw":
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(schedule, weight_decay=1e-2, mask=decays),
        )
    if name == "groups":
        labels = {"w": "matrix", "v": "matrix", "b": "rest"}
        return optax.partition({"matrix": optax.lion(1e-3), "rest": optax.sgd(1e-2, 0.9)}, labels)
    if name == "inject":
        return optax.inject_hyperparams(optax.adam)(learning_rate=schedule)
    if name == "accumulate":
        return optax.MultiSteps(optax.rmsprop(1e-3), every_k_schedule=2).gradient_transformation()
    if name == "lookahead":
        return contrib.schedule_free_adamw(1e-2)
    return contrib.ademamix(1e-3)


def train(name: str) -> float:
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "w": jax.random.normal(keys[0], (5, 8)) / 2,
        "v": jax.random.normal(keys[1], (8, 3)) / 2,
        "b": jnp.zeros(3),
    }
    x, y = jax.random.normal(keys[2], (32, 5)), jax.random.randint(keys[3], (32,), 0, 3)
    optimizer = make_optimizer(name)
    state: optax.OptState = optimizer.init(params)

    @jax.jit
    def step(params: dict[str, jax.Array], state: optax.OptState):
        value, grads = jax.value_and_grad(loss_fn)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    value = jnp.zeros(())
    for _ in range(20):
        params, state, value = step(params, state)
    return float(value + optax.tree.norm(params) + optax.global_norm(params))


if __name__ == "__main__":
    for name in ("adamw", "groups", "inject", "accumulate", "lookahead", "ademamix"):
        print(train(name))
