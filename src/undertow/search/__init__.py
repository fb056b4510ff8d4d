"""Populations: many members trained as one program, tuned by evolution or drawn at random.

The room may import training, the model's interface and the parts that they speak of. Begin reading at `evolve.py` (the rules, pure
functions of arrays), then `space.py` (what moves), `population.py` (the state), `loop.py` (generation after generation); who trains
the members is an executor: `in_process.py` or `ray_workers.py`.
"""
