"""One bin in, one estimate out: fitted models inside a closed loop.

The room may import vocabulary, components and models. Begin reading at `stream.py` (what a loop calls). What runs there is made
in layers, each of which gives a `Streaming` (see `models/base.py`): `window.py` (models that are not causal), `ensemble.py`
(several models), `decoder.py` (behaviour); `program.py` compiles the last one into one call a bin. `export.py` writes the same
step for others to run.
"""
