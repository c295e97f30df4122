"""Trainings that a reader can run; they need the extra `bench`.

With several objectives, a plain sum of the losses beside an aggregator of their gradients:

    python -m gradlab.examples.two_task_digits
    python -m gradlab.examples.noisy_labels
    python -m gradlab.examples.auxiliary_loss

With gradients of training itself, beside what does without them; the last compares methods for
bilevel problems with no cleaning, on digits with wrong labels:

    python -m gradlab.examples.tune_schedule
    python -m gradlab.examples.class_weights
    python -m gradlab.examples.maml_sinusoids
    python -m gradlab.examples.hyper_cleaning

With three levels, each of which learns what the one below it is given:

    python -m gradlab.examples.three_levels

Each prints a table and writes a page that opens offline: what came out, and what it cost. `--tiny`
takes seconds.
"""
