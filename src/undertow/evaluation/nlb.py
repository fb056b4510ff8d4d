"""The scores of the Neural Latents Benchmark, from the benchmark's arrays; same definitions and names as its evaluation.

    score(target, submission)   # {"co-bps": 0.34, "vel R2": 0.90, "psth R2": 0.63, "fp-bps": 0.24}

    co-bps   bits per spike of the held-out neurons of the evaluated trials
    fp-bps   bits per spike of all neurons in the 200 ms after the window
    vel R2   how well hand or finger velocity is read out from the rates (`nlb_behaviour`)
    tp corr  correlation of neural speed with the produced time, in its place for DMFC_RSG (`nlb_behaviour`)
    psth R2  how well averages of the rates match the average responses (`nlb_psth`)

Rates are expected spikes per bin, counts that are NaN are not scored, no array is changed. Source: Pei et al. 2021, arXiv
2109.04463, and the evaluation that was published with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from undertow.evaluation.likelihood import bits_per_spike
from undertow.evaluation.nlb_behaviour import tp_corr, vel_r2
from undertow.evaluation.nlb_entries import checked_forward, checked_rates, has_forward
from undertow.evaluation.nlb_psth import psth_r2

Entries = Mapping[str, np.ndarray]


def score(target: Entries, submission: Entries, *, bin_width: float | None = None) -> dict[str, float]:
    """All scores that the entries of one group allow, under the benchmark's names and in its order.

    Args:
        target: what is to be predicted: "eval_spikes_heldout", "train_behavior", "eval_behavior", and where they are known
            "eval_spikes_heldin_forward", "eval_spikes_heldout_forward", "psth" with "eval_cond_idx" and "eval_jitter",
            "train_decode_mask" and "eval_decode_mask". Behaviour of shape (trial, column) is that of DMFC_RSG.
        submission: expected spikes per bin: "eval_rates_heldin", "eval_rates_heldout", for the decoder "train_rates_heldin"
            and "train_rates_heldout", for fp-bps "eval_rates_heldin_forward" and "eval_rates_heldout_forward".
        bin_width: seconds, if known; only for the words of the error about rates in Hz.

    Raises:
        UndertowError: an entry is missing or has another shape than the target asks for, a rate is negative or NaN where it
            is scored, or the rates are not expected spikes per bin.
    """
    checked_rates(target, submission, bin_width)
    held_in, held_out = (submission[f"eval_rates_{name}"] for name in ("heldin", "heldout"))
    rates = np.concatenate([held_in, held_out], axis=-1)
    scores = {"co-bps": co_bps(held_out, target["eval_spikes_heldout"])}
    scores |= _of_behaviour(target, submission, rates)
    if "psth" in target:
        jitter = target.get("eval_jitter")
        scores["psth R2"] = psth_r2(target["psth"], rates, target["eval_cond_idx"], jitter=jitter)
    if has_forward(target, submission):
        checked_forward(target, submission, bin_width)
        scores["fp-bps"] = fp_bps(*(_forward(submission, "rates")), *(_forward(target, "spikes")))
    return scores


def co_bps(rates: np.ndarray, counts: np.ndarray) -> float:
    """Bits per spike of held-out neurons, both (trial, time, neuron); the null model has each neuron's mean over `counts`.

    Raises:
        UndertowError: shapes differ, or a rate is negative or not finite where a count is known.
    """
    return bits_per_spike(rates, counts)


def fp_bps(
    rates_held_in: np.ndarray, rates_held_out: np.ndarray, held_in: np.ndarray, held_out: np.ndarray
) -> float:
    """Bits per spike of all neurons over the bins to be forecast: rates, then counts, each (trial, forward bin, neuron).

    Raises:
        UndertowError: as for `co_bps`.
    """
    rates, counts = (
        np.concatenate(both, axis=-1) for both in ((rates_held_in, rates_held_out), (held_in, held_out))
    )
    return bits_per_spike(rates, counts)


def _of_behaviour(target: Entries, submission: Entries, rates: np.ndarray) -> dict[str, float]:
    behaviour = target["eval_behavior"]
    if behaviour.ndim == 2:
        return {"tp corr": tp_corr(target["eval_spikes_heldout"], rates, behaviour)}
    train = np.concatenate([submission["train_rates_heldin"], submission["train_rates_heldout"]], axis=-1)
    masks = (target.get("train_decode_mask"), target.get("eval_decode_mask"))
    return {"vel R2": vel_r2(train, target["train_behavior"], rates, behaviour, masks=masks)}


def _forward(entries: Entries, what: str) -> tuple[np.ndarray, np.ndarray]:
    return entries[f"eval_{what}_heldin_forward"], entries[f"eval_{what}_heldout_forward"]
