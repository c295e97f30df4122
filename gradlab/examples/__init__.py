"""Trainings with several objectives that a reader can run; they need the extra `bench`.

    python -m gradlab.examples.two_task_digits
    python -m gradlab.examples.noisy_labels
    python -m gradlab.examples.auxiliary_loss

Each compares a plain sum of the losses with an aggregator of their gradients, prints a table and
writes a page that opens offline: losses, conflicts and the cost of a step. `--tiny` takes seconds.

    python -m gradlab.examples.hyper_cleaning

compares methods for bilevel problems with no cleaning, on digits with wrong labels.
"""
