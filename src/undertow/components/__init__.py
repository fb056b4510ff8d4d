"""Parts of models: cells and loops, encoders, priors, observations, read-outs, corruption.

Each part is an `equinox.Module` written for one trial, without a batch axis; models put them together and training maps them
over trials. This room imports only `vocabulary`. Begin reading at `cells.py`: the GRU of LFADS and its backward pass.
"""
