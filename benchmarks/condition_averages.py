"""What sessions share before anything is trained: principal components of condition averages, and read-outs from them.

    python benchmarks/condition_averages.py [--repeats 10] [--components 5 10 20 40]

Six sessions of a chaotic network of 100 units, 20 of them observed in each (`undertow simulate chaotic-rnn-sessions`), and a
seventh that is regressed onto their components. Printed for each number of components: the share of the variance of all averages
that they explain; R2 of the true latents (ten principal components of the network's states) given the components, by variance;
R2 of the true rates, a mean over neurons and sessions, as the averages themselves have it, as the read-outs by Poisson
regression, and as read-outs by least squares to the log of the averages; the same for the seventh session; seconds.
"""

import argparse
import time

import numpy as np

from undertow.data.condition_averages import align_to, alignment, condition_averages
from undertow.data.simulate import SYSTEMS


def r2(estimate, truth):
    """A mean over columns."""
    return float(np.mean(1 - ((estimate - truth) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)))


def of_conditions(trials, variable):
    """(condition x time, column) of the first trial of each condition."""
    _, first = np.unique(trials.condition, return_index=True)
    values = trials[variable].values[first].astype(float)
    return values.reshape(-1, values.shape[2])


def true_counts(trials):
    """(condition x time, neuron) expected counts of a bin."""
    return of_conditions(trials, "true_rates") * trials.attrs["bin_width"]


def averages_of(trials, conditions):
    """(condition x time, neuron)."""
    averages = condition_averages(trials, conditions)
    return averages.reshape(-1, averages.shape[2])


def by_logarithms(unit, averages):
    """Expected counts by least squares to the log of the averages, none taken to be below a tenth of its neuron's mean."""
    inputs = np.concatenate([unit, np.ones((len(unit), 1))], axis=1)
    fitted = inputs @ np.linalg.lstsq(inputs, averages, rcond=None)[0]
    logs = np.log(np.maximum(fitted, 0.1 * averages.mean(0)))
    shape = np.exp(unit @ np.linalg.lstsq(inputs, logs, rcond=None)[0][:-1])
    return shape * averages.mean(0) / shape.mean(0)


def main():
    """Print a row of a table for each number of components."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--components", type=int, nargs="*", default=[5, 10, 20, 40])
    asked = parser.parse_args()
    several = SYSTEMS["chaotic-rnn-sessions"](sessions=7, repeats=asked.repeats)
    seventh = several.pop("session-7")
    truth = {name: true_counts(trials) for name, trials in several.items()}
    latents = of_conditions(seventh, "true_latents")
    print(
        "| components | explained | latents | averages | Poisson | logarithms | seventh, Poisson | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for components in asked.components:
        begin = time.perf_counter()
        shared = alignment(several, components=components)
        seconds = time.perf_counter() - begin
        unit = (shared.components / shared.deviation).reshape(-1, components)
        inputs = np.concatenate([unit, np.ones((len(unit), 1))], axis=1)
        rest = latents - inputs @ np.linalg.lstsq(inputs, latents, rcond=None)[0]
        averages = {name: averages_of(trials, shared.conditions) for name, trials in several.items()}
        start = align_to(shared, seventh)
        scores = (
            shared.explained.sum(),
            1 - rest.var(0).sum() / latents.var(0).sum(),
            np.mean([r2(averages[name], truth[name]) for name in several]),
            np.mean([r2(np.exp(unit @ s.readout + s.bias), truth[n]) for n, s in shared.starts.items()]),
            np.mean([r2(by_logarithms(unit, averages[name]), truth[name]) for name in several]),
            r2(np.exp(unit @ start.readout + start.bias), true_counts(seventh)),
        )
        row = " | ".join(f"{score:.3f}" for score in scores)
        print(f"| {components} | {row} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
