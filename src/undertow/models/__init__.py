"""Complete models, one a file: configuration, model, objective, from top to bottom.

A model imports parts from `components` and never another model. Begin reading at `base.py` (what a model must answer), then
`lfads.py`. To add a model: a file here, a line in `MODELS`, a row in tests/test_every_model.py.
"""

from undertow.models.autoencoder import Autoencoder
from undertow.models.gnocchi import Gnocchi
from undertow.models.lfads import LFADS
from undertow.models.transformer import NDT

MODELS = {"lfads": LFADS, "ndt": NDT, "autoencoder": Autoencoder, "gnocchi": Gnocchi}
