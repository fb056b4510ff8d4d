"""Scores from arrays: how good an estimate is, and how good plain smoothing would have been.

Codes beside known factors: `disentanglement`, `linear_readout` and `traversals`. Generated trials beside real ones:
`generation`, `sample_distances` and `unseen_conditions`.

This room knows no model and imports only `vocabulary`. `likelihood`, `truth`, `psth` and `decoding` take
arrays and return numbers, `yardstick` is the opponent of every model, and `scores` brings them together.
Begin reading at `evaluate` in `scores.py`.

    bits_per_spike(rates, counts, bin_width=0.02)          # rates in Hz, NaN counts are left out
    evaluate(estimate, trials, yardstick=yardstick(trials))["valid"]["model"]["co_smoothing"]
"""
