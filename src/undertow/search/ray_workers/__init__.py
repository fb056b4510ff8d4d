"""Members trained by the workers of a Ray cluster: one a GPU, or one a machine where there are none.

This folder is the only door to Ray, and is imported only when somebody asks for it. Begin reading at `crew.py`, the executor;
`cluster.py` connects, hires and dismisses. What travels, and what a worker does with it, is in `..parts`, which knows no Ray.
"""

from importlib.util import find_spec

from undertow.vocabulary import UndertowError

if find_spec("ray") is None:
    raise UndertowError(
        "Ray is not installed; pip install 'undertow[ray]', or leave out --ray to train all members in this process."
    )

from undertow.search.ray_workers.crew import RayWorkers

__all__ = ["RayWorkers"]
