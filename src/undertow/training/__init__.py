"""Where numbers change: the objective, one step, an epoch, the loop, checkpoints, the journal.

Everything that changes lives in one pytree, `TrainState`; `epoch.build` gives a pure function `(state, train, valid) -> (state,
metrics)` that is compiled once. This room imports `vocabulary`, `components`, `models.base` and `data.batches`. Begin reading
at `state.py`, then `step.py`, `epoch.py`, `loop.py`.
"""
