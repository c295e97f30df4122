"""Implementations compared, apart from algorithms: the same method, in gradlab and elsewhere.

`python -m benchmarks` runs every table and `python -m benchmarks steps` one of them. Both sides
of a pair do the same step on the same gradients, in turns (A B A B) in one process, warm, with
parameters and state donated, and every result is waited for. Durations of a shared machine vary;
what counts is the ratio within one run. What the compiler says of a program has no noise, and so
is shown beside it: bytes of temporaries, and arrays moved.
"""
