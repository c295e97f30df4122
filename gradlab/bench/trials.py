"""The trials of a study and their states, in an Optuna study in SQLite.

Every trial of the grid is enqueued when the study begins, so that its number says which trial it
is. A trial waits, runs, and ends complete or failed; a failed trial is one that diverged.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from gradlab.bench.grid import Group
from gradlab.bench.results import Status

_RATES = FloatDistribution(1e-300, 1e300, log=True)

STATUS: dict[TrialState, Status] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "diverged",
}


def _storage(path: Path) -> optuna.storages.RDBStorage:
    # Several processes write here: wait for the database instead of failing at once.
    options = {"connect_args": {"timeout": 60}}
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs=options)


class Trials:
    """The Optuna study of one study directory.

    Args:
        path: the SQLite file.
        name: name of the study.
    """

    def __init__(self, path: Path, name: str) -> None:
        # Optuna announces what it does at level INFO; progress is the runner's to show.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._storage = _storage(path)
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
            )

    def enqueue(self, groups: tuple[Group, ...]) -> None:
        """Enqueues the trials that are not there yet, each at its number.

        Only one process may do this at a time; one that continues where another was killed finds
        the first trials there and adds the rest.

        Args:
            groups: all groups of the study.
        """
        present = len(self.all())
        waiting = [_waiting(group, *trial) for group in groups for trial in group.trials]
        self._study.add_trials(waiting[present:])

    def all(self) -> list[FrozenTrial]:
        """Returns all trials in the order of their numbers."""
        return self._study.get_trials(deepcopy=False)

    def begin(self, group: Group) -> None:
        """Marks the trials of a group as running."""
        for trial in self._of(group):
            if trial.state == TrialState.WAITING:
                self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)

    def end(self, group: Group, finals: np.ndarray, diverged_at: list[int | None]) -> None:
        """Marks the trials of a group as complete or diverged.

        Args:
            group: the group.
            finals: `[trials]`, the metric at the horizon.
            diverged_at: for each trial the first step that was not finite, or None.
        """
        for trial, value, step in zip(self._of(group), finals, diverged_at, strict=True):
            if trial.state.is_finished():
                continue
            number = trial._trial_id
            if step is None:
                self._storage.set_trial_state_values(number, TrialState.COMPLETE, [float(value)])
            else:
                self._storage.set_trial_user_attr(number, "diverged_at", step)
                self._storage.set_trial_state_values(number, TrialState.FAIL)

    def _of(self, group: Group) -> list[FrozenTrial]:
        first = group.first_trial
        return self.all()[first : first + len(group.trials)]


def _waiting(group: Group, number: int, row: Any, seed: int) -> FrozenTrial:
    facts = {
        "problem": group.problem.name,
        "optimizer": group.optimizer.label,
        "group": group.name,
        "rate_index": row.rate_index,
        "tuned": row.tuned,
    }
    return optuna.trial.create_trial(
        state=TrialState.WAITING,
        params={"learning_rate": row.learning_rate, "seed": seed},
        distributions={"learning_rate": _RATES, "seed": CategoricalDistribution(group.seeds)},
        user_attrs=facts,
    )
