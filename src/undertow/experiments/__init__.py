"""The only place where the rooms meet: recipe -> trials -> model -> fit -> estimate -> scores -> report.

May import everything but the command line. Begin reading at `recipe.py` (what a run is told), then `fitting.py`, `fitted.py`
(what a run leaves behind), `inference.py` and `scoring.py`.
"""
