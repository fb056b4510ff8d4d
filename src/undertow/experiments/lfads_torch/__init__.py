"""From a checkpoint of lfads-torch to a run of undertow.

`checkpoint` reads the file, `layout` says what its shapes tell, `choices` turns that and its hyperparameters into a recipe,
`weights` gives every leaf of our LFADS its numbers, and `importing`, where to begin reading, does all of it.

Facts: arXiv 2309.01230, and the state dictionary of its published modules. Here, too, nothing is imported from torch.
"""
