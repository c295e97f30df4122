"""Muon: momentum, orthogonalised."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonState
from optax.transforms import PartitionState

from gradlab import core, linalg
from gradlab.core import DType, Mask, Params, Scalar, ScalarOrSchedule, Updates, hyper, static
from gradlab.optimizers import adaptive
from gradlab.optimizers.matrix import _matrices

Coefficients: TypeAlias = str | tuple[Any, ...]

STANDARD = (3.4445, -4.7750, 2.0315)
PRESETS = {
    "standard": STANDARD,
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
}
ADAMW = adaptive.adamw(0.0).rule
_preconditioning = core.one_of(*linalg.PRECONDITIONINGS)


class ScaleByMuon(core.Rule):
    """The orthogonalised momentum."""

    ns_coeffs: tuple = hyper()
    ns_steps: int = static(convert=core.count_at_least(0))
    beta: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)
    adaptive: bool = static(convert=core.flag)
    preconditioning: str = static(convert=_preconditioning)
    weight_dimension_numbers: Any = static()

    def init(self, params: Params) -> MuonState:
        mu = core.moments_like(params, self.mu_dtype)
        return MuonState(core.step_count(), mu, jnp.array(self.ns_coeffs, jnp.result_type(float)))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MuonState]:
        del extra
        count = optax.safe_increment(state.count)

        def momentum(h: Any, g: Any, m: Any) -> tuple:
            m = core.average(m, g, h.beta)
            return core.debias_mean(m, g, h.beta, count, self.nesterov), m

        moments, mu = self.each(momentum, updates, state.mu)
        updates = self.orthogonalize(moments, updates if params is None else params)
        coeffs = jnp.array(self.ns_coeffs, jnp.result_type(state.ns_coeffs))
        return updates, MuonState(count, mu, coeffs)

    def specifications(self, tree: Any) -> list:
        """The dimension numbers of each leaf."""
        spec = self.weight_dimension_numbers
        return _matrices.specifications(_matrices.TWO_AXES if spec is None else spec, tree)

    def orthogonalize(self, moments: Any, like: Any) -> Any:
        """Replaces the singular values of every matrix by numbers near one."""
        specs, paths = self.specifications(like), core.leaf_names(moments)
        leaves, treedef = jax.tree.flatten(moments, is_leaf=core.is_absent)
        found = [i for i, x in enumerate(leaves) if not core.is_absent(x)]
        layouts = {i: _matrices.layout(paths[i], leaves[i].shape, specs[i]) for i in found}
        stacks = [layouts[i].matrices(leaves[i]) for i in found]
        for i, stack in zip(found, core.batch_by_shape(self.iterate, stacks), strict=True):
            x, y = leaves[i], layouts[i].restore(stack)
            y = jnp.sum(x.conj() * y) * y if self.adaptive else y
            leaves[i] = self.rescale(y, *layouts[i].stack[1:])
        return treedef.unflatten(leaves)

    def iterate(self, stack: jax.Array) -> jax.Array:
        """The iteration on a stack of matrices."""
        return linalg.newton_schulz(
            stack,
            self.ns_coeffs,
            steps=self.ns_steps,
            eps=self.eps,
            preconditioning=self.preconditioning,
        )

    def rescale(self, x: jax.Array, fan_in: int, fan_out: int) -> jax.Array:
        """A factor that depends on the shape alone; here none."""
        del fan_in, fan_out
        return x


class _Matrices(core.Optimizer, ScaleByMuon):
    """The part of Muon that sees the matrices only."""

    consistent_rms: Scalar | None = hyper("[0, inf)")
    specs: tuple = static()

    def specifications(self, tree: Any) -> list:
        del tree
        return list(self.specs)

    def rescale(self, x: jax.Array, fan_in: int, fan_out: int) -> jax.Array:
        if self.consistent_rms is None:
            return math.sqrt(max(1.0, fan_out / max(fan_in, 1))) * x
        rms = jnp.asarray(self.consistent_rms, jnp.finfo(x.dtype).dtype)
        return math.sqrt(max(fan_in, fan_out)) * rms * x


class Muon(core.Rule):
    """Orthogonalised momentum for matrices, AdamW for everything else."""

    learning_rate: ScalarOrSchedule = hyper("[0, inf)")
    ns_coeffs: tuple = hyper()
    ns_steps: int = static(convert=core.count_at_least(0))
    beta: Scalar = hyper("[0, 1)")
    eps: Scalar = hyper("[0, inf)")
    weight_decay: ScalarOrSchedule = hyper("[0, inf)")
    weight_decay_mask: Mask = static()
    mu_dtype: DType | None = static(convert=core.dtype_or_none)
    nesterov: bool = static(convert=core.flag)
    adaptive: bool = static(convert=core.flag)
    preconditioning: str = static(convert=_preconditioning)
    adam_b1: Scalar = hyper("[0, 1)")
    adam_b2: Scalar = hyper("[0, 1)")
    adam_eps_root: Scalar = hyper("[0, inf)")
    adam_weight_decay: ScalarOrSchedule = hyper("[0, inf)")
    adam_learning_rate: ScalarOrSchedule | None = hyper("[0, inf)")
    muon_weight_dimension_numbers: Any = static()
    consistent_rms: Scalar | None = hyper("[0, inf)")
    mask: Mask = static(default=None)

    def present(self) -> core.Transform:
        if self.mask is not None and self.weight_decay_mask is not None:
            raise ValueError("muon: give mask or weight_decay_mask, not both")
        return super().present()

    def init(self, params: Params) -> PartitionState:
        specs = self.specifications(params)
        groups = _matrices.groups(specs, params)
        matrices, rest = (groups.pick(key, params) for key in (True, False))
        return _pack(self.on_matrices(specs).init(matrices), self.on_the_rest().init(rest))

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, PartitionState]:
        like = updates if params is None else params
        specs = self.specifications(like)
        groups = _matrices.groups(specs, like)
        trees = [updates] if params is None else [updates, params]
        ours, theirs = ([groups.pick(key, tree) for tree in trees] for key in (True, False))
        muon, adam = _unpack(state)
        new, muon = self.on_matrices(specs).update(ours[0], muon, *ours[1:], **extra)
        rest, adam = self.on_the_rest().update(theirs[0], adam, *theirs[1:], **extra)
        return groups.put_together({True: new, False: rest}), _pack(muon, adam)

    def specifications(self, tree: Any) -> list:
        """The dimension numbers of each parameter, None for those that AdamW steps."""
        spec = self.muon_weight_dimension_numbers
        return _matrices.specifications(_matrices.two_dimensional if spec is None else spec, tree)

    def on_matrices(self, specs: list) -> _Matrices:
        own = {n: getattr(self, n) for n in self.hyper_names + self.static_names}
        fields = {n: own[n] for n in _Matrices.hyper_names + _Matrices.static_names if n in own}
        mask = self.weight_decay_mask if self.mask is None else self.mask
        return _Matrices(
            **fields | {"mask": mask},
            weight_dimension_numbers=None,
            specs=tuple(specs),
        )

    def on_the_rest(self) -> core.Rule:
        rate = self.adam_learning_rate
        return ADAMW.with_values(
            learning_rate=self.learning_rate if rate is None else rate,
            b1=self.adam_b1,
            b2=self.adam_b2,
            eps=self.eps,
            eps_root=self.adam_eps_root,
            mu_dtype=self.mu_dtype,
            nesterov=self.nesterov,
            weight_decay=self.adam_weight_decay,
        )

    def schedule_counts(self, state: Any) -> dict[str, Any]:
        muon_state, adam_state = _unpack(state)
        ours = self.on_matrices([]).schedule_counts(muon_state)
        theirs = self.on_the_rest().schedule_counts(adam_state)
        return ours | {f"adam_{name}": count for name, count in theirs.items()}


def _pack(muon: tuple, adam: tuple) -> PartitionState:
    """The state as optax nests it: its chain has a stateless link for the shape factor."""
    direction, *scaling = muon
    parts = {"muon": (direction, optax.EmptyState(), *scaling), "adam": adam}
    return PartitionState({name: optax.MaskedState(part) for name, part in parts.items()})


def _unpack(state: Any) -> tuple[tuple, tuple]:
    direction, _, *scaling = state.inner_states["muon"].inner_state
    return (direction, *scaling), state.inner_states["adam"].inner_state


def _build(rule_type: type, ns_coeffs: Any, ns_steps: Any, **values: Any) -> core.Transform:
    """Builds a rule whose coefficients are a preset, one triple, or a triple for each step.

    Raises:
      ValueError: an unknown preset, no triples, or more triples than steps.
    """
    owner = rule_type.owner()
    if isinstance(ns_coeffs, str):
        if ns_coeffs not in PRESETS:
            raise ValueError(f"{owner}: ns_coeffs={ns_coeffs!r} is none of {', '.join(PRESETS)}")
        ns_coeffs = PRESETS[ns_coeffs]
    rows = tuple(ns_coeffs)
    single = not rows or not linalg.is_row(rows[0])
    triples = (rows,) if single else tuple(map(tuple, rows))
    if any(len(triple) != 3 for triple in triples):
        raise ValueError(f"{owner}: ns_coeffs needs three numbers, or three for each step: {rows}")
    values |= {"ns_coeffs": triples[0] if single else triples, "ns_steps": ns_steps}
    opt = core.build(rule_type, owner, **values)
    if not single and len(triples) > opt.ns_steps:
        raise ValueError(f"{owner}: ns_coeffs has {len(triples)} rows for ns_steps={ns_steps}")
    return opt


def scale_by_muon(
    ns_coeffs: Coefficients = STANDARD,
    ns_steps: int = 5,
    beta: Scalar = 0.95,
    eps: Scalar = 1e-8,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    weight_dimension_numbers: Any = None,
) -> core.Transform:
    """The orthogonalised momentum alone, for trees of matrices; arguments as in `muon`.

    Args:
      ns_coeffs: coefficients of the iteration.
      ns_steps: number of iterations.
      beta: decay of the average of gradients, in [0, 1).
      eps: added to the norm that the average is divided by, in [0, inf).
      mu_dtype: dtype in which the average is stored.
      nesterov: whether the average looks one step ahead.
      adaptive: whether the result is multiplied by the dual norm of the average.
      preconditioning: how singular values are first brought below one.
      weight_dimension_numbers: which axes make up the matrix. None: every array has two
        axes, inputs first.

    Returns:
      The transformation. State: 1 × params, the coefficients and a count.

    Raises:
      ValueError: a hyperparameter outside its range, or an array that is no matrix.
    """
    return _build(**locals(), rule_type=ScaleByMuon)


def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Coefficients = STANDARD,
    ns_steps: int = 5,
    beta: Scalar = 0.95,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Mask = None,
    mu_dtype: DType | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: Scalar = 0.9,
    adam_b2: Scalar = 0.999,
    adam_eps_root: Scalar = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms: Scalar | None = None,
    mask: Mask = None,
) -> core.Transform:
    r"""Muon steps along the orthogonal factor of an average of gradients.

    $$M \leftarrow \beta M + (1-\beta) G,\quad
    \Theta \leftarrow \Theta - \eta\,\Big(\sqrt{\max(1, n/m)}\;
    \mathrm{NS}\Big(\frac{\hat M}{\lVert \hat M \rVert_F + \varepsilon}\Big)
    + \lambda\,\Theta\Big)$$

    NS applies $X \leftarrow a X + (b\,X X^\top + c\,(X X^\top)^2) X$ a few times, which brings
    every singular value near one. Matrices of equal shape are iterated together. Arrays that
    are no matrices are stepped by AdamW.

    Args:
      learning_rate: step size η of a matrix of fan-in at least fan-out [spectral norm of
        the step], in [0, inf), or a schedule.
      ns_coeffs: (a, b, c); or one such triple for each iteration, at most `ns_steps` of
        them; or `"standard"` or `"dion"`.
      ns_steps: number of iterations; ignored where there is a triple for each.
      beta: decay of the average of gradients, in [0, 1).
      eps: added to the norm that the average is divided by [gradient units], in [0, inf);
        also the ε of AdamW.
      weight_decay: decoupled decay λ of the matrices, in [0, inf), scaled by the learning
        rate.
      weight_decay_mask: which matrices decay: a tree of bools or a function of params.
      mask: another name of `weight_decay_mask`, the one that all optimizers share.
      mu_dtype: dtype in which averages of gradients are stored.
      nesterov: whether the averages look one step ahead.
      adaptive: whether a step is multiplied by the dual norm of its average.
      preconditioning: how singular values are brought below one: `"frobenius"`,
        `"spectral"`, `"aol"` or `"schatten"`.
      adam_b1: AdamW's decay of the average of gradients, in [0, 1).
      adam_b2: AdamW's decay of the average of squared gradients, in [0, 1).
      adam_eps_root: AdamW's addition under the root [squared gradient units], in [0, inf).
      adam_weight_decay: AdamW's decay, in [0, inf).
      adam_learning_rate: AdamW's step size, in [0, inf), or a schedule. None: that of the
        matrices.
      muon_weight_dimension_numbers: which parameters are matrices, and which of their axes
        are inputs and outputs: a tree of `MuonDimensionNumbers` and None, a prefix of one,
        or a function of params. All other axes are batch axes. None: every array with two
        axes is a matrix, inputs first.
      consistent_rms: None, or the factor r of $r \sqrt{\max(m, n)}$, which takes the place
        of $\sqrt{\max(1, n/m)}$ for m inputs and n outputs, in [0, inf).

    Returns:
      The optimizer. State: 1 × the matrices, 2 × all else, and counts.

    Raises:
      ValueError: a hyperparameter outside its range, or dimension numbers that do not fit
        the parameters.

    References:
      Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
      Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982v1, equation 4
      (`consistent_rms`). Bernstein and Newhouse, "Old Optimizer, New Norm: An Anthology",
      arXiv:2409.20325v2 (`adaptive`).

    Differs:
      The average is bias-corrected, as in optax; the original sums gradients and corrects
      nothing, which with `nesterov` gives another direction in the first steps. The state
      holds the coefficients, as optax's does, but the optimizer's own are used.

    Example:
      >>> import gradlab as gl
      >>> gl.hyperparameters(gl.muon(0.02, adam_b2=0.95))["ns_coeffs[0]"]
      3.4445
    """
    return _build(**locals(), rule_type=Muon)


ScaleByMuon.public = staticmethod(scale_by_muon)
Muon.public = staticmethod(muon)

ENTRY = core.Entry(
    muon,
    formula="W -= lr * (sqrt(max(1, n/m)) * newton_schulz(m_hat) + weight_decay * W)",
    paper=("jordan2024muon", "liu2025muon", "bernstein2024old"),
    example={"learning_rate": 0.005},
    search_space={"learning_rate": (1e-3, 1e-1, "log"), "weight_decay": (1e-3, 1.0, "log")},
    traits=core.Traits(
        elementwise=False,
        smooth=False,
        kinks="A matrix turns round where its average of gradients passes zero; there the "
        "derivative is that of the average over eps.",
    ),
)
