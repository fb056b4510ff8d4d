"""Baselines: what a model of dynamics has to beat. Smoothing, GPFA, a switching linear dynamical system, averages
over trials, principal components of whole trials.

They answer the same questions as every model (`models/base.py`) but are fitted directly: each configuration is a `DirectConfig`
whose `fit` tunes itself by cross-validation among training trials, as the baselines of the Neural Latents Benchmark were (Pei et
al. 2021). Neurons that are never seen are read from what is seen by Poisson regressions, in common (`poisson_readout.py`). This
room may import `vocabulary`, `components`, `models.base`, `data.batches`, and from `evaluation` the likelihood, smoothing and
Poisson regression. Begin reading at `smoothing.py`.

To add a baseline: a file here, a line in `BASELINES`, a row in tests/baselines/test_every_baseline.py.
"""

from undertow.baselines.gpfa import GPFA
from undertow.baselines.pca import PCA
from undertow.baselines.psth import PSTH
from undertow.baselines.slds import SLDS
from undertow.baselines.smoothing import Smoothing

BASELINES = {"smoothing": Smoothing, "gpfa": GPFA, "slds": SLDS, "psth": PSTH, "pca": PCA}
