"""What each command does, from its arguments to its result; `cli` shows it.

A function `run_...` for each command, in a file by theme: `simulations`, `recordings` (what needs no model), `fits` (what ends
with a run), `runs` (what uses one) and `installation`. `asked` has the options that they share, `sources` the way from paths to
trials. A file imports only what its own commands need, so that reading a recording waits for no JAX. Begin at `fits.run_fit`.
"""
