"""Files and objects in, trials out.

`readers/` holds one file for each format: each turns a source into a `Recording` (spike times with their tables and series) or
straight into trials. `alignment` cuts a recording into trials, `binning` counts spikes in bins, `splits` decides who trains.
This room imports only `vocabulary`. Begin reading at `load` in `loading.py`.
"""
