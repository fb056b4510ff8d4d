"""Populations: many members trained as one program, tuned by evolution or drawn at random.

The room may import training, the model's interface and the parts that these speak of. Begin reading at `evolve.py` (the rules,
pure functions of arrays), then `space.py` (what moves), `population.py` (the state), `loop.py` (generation after generation); who
trains the members is an executor: `executor.py` (this process) or `ray_workers.py`.

The room shares its name with the public function `undertow.search`, so it can be called as that function.
"""

import sys
from types import ModuleType


class _Room(ModuleType):
    """This module, callable as the public function of its name, which lives where all rooms meet."""

    def __call__(self, *arguments, **options):
        return sys.modules["undertow"].public("search")(*arguments, **options)


sys.modules[__name__].__class__ = _Room
