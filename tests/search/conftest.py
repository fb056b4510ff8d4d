"""The smallest model of tests/training is the one that is searched here."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))
