"""What masking is for: a Neural Data Transformer without it learns to copy each spike to its own rate.

    python benchmarks/ndt_overfitting.py --out FILE.json [--epochs 200]
    python benchmarks/ndt_overfitting.py --plot FILE.json

The same transformer is trained on a small simulated data set (chaotic network) in four arms: nothing hidden; masks over whole
bins; masks over single entries, each hiding a quarter; and the default, coordinated dropout. Every few epochs the validation
trials are scored in two ways: the likelihood of their counts with everything seen, which is what an unsuspecting user would look
at, and R2 of the rates against the true ones. Printed is a table; --plot draws docs/pictures/ndt_overfitting.png again.
"""

import argparse
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import undertow as ut
from undertow.data.batches import training_arrays
from undertow.evaluation.likelihood import bits_per_spike
from undertow.evaluation.truth import rate_r2
from undertow.experiments import cache
from undertow.experiments import recipe as recipes
from undertow.experiments.material import concealed
from undertow.files import write_bytes
from undertow.report import style
from undertow.training import loop

DATA = {"g": 1.5, "neurons": 50, "conditions": 60, "repeats": 3, "bins": 50}
NOTHING = ["corruption.coordinated_dropout=0.0", "corruption.mask_rate=0.0"]
ARMS = {
    "nothing hidden": NOTHING,
    "masks over bins": [*NOTHING, "corruption.mask_rate=0.25", "corruption.masks=bins"],
    "masks over entries": [*NOTHING, "corruption.mask_rate=0.25", "corruption.masks=entries"],
    "coordinated dropout": [],
}
COLOURS = dict(zip(ARMS, (style.YARDSTICK, *style.CONDITION_COLOURS[2:4], style.MODEL), strict=True))
BATCH = 24
LOWEST = {"bits_per_spike": -0.2, "rate_r2": -1.0}  # what is drawn; lower values lie on the edge
HEIGHT, DOTS = 2.8, 200  # inches, dots an inch
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "ndt_overfitting.png"


def curve(trials, settings, arguments):
    """Epochs, bits per spike with everything seen, and rate R2 of the validation trials while one arm trains."""
    document = {"model": "ndt", "seed": arguments.seed}
    settings = [
        *settings,
        f"training.epochs={arguments.epochs}",
        f"training.batch_size={BATCH}",
        *arguments.set,
    ]
    chosen = recipes.from_document(recipes.with_settings(document, settings))
    data, corruption = training_arrays(trials), concealed(chosen, {"": trials})
    state = loop.beginning(chosen.choices, data[0], seed=arguments.seed)
    train, valid = (jax.tree.map(jnp.asarray, arrays) for arrays in data)
    epoch = loop.epoch_of(chosen.choices, corruption, data[0])
    changing, static = eqx.partition(state, eqx.is_array)
    advance = jax.jit(lambda now: eqx.filter(epoch(eqx.combine(now, static), train, valid)[0], eqx.is_array))
    rates_of = jax.jit(lambda now: rates(eqx.combine(now, static).model, valid))
    truth, points = trials.true_rates.values[data[1].number], []
    for number in range(1, arguments.epochs + 1):
        changing = advance(changing)
        if number % arguments.every == 0:
            hertz = np.asarray(rates_of(changing)) / trials.attrs["bin_width"]
            likelihood = bits_per_spike(hertz, data[1].counts, bin_width=trials.attrs["bin_width"])
            points.append(
                {"epoch": number, "bits_per_spike": likelihood, "rate_r2": rate_r2(hertz, truth).mean}
            )
    return points


def rates(model, valid):
    """Expected counts a bin of all validation trials, with everything seen."""
    return jax.vmap(lambda counts, inputs: model.estimate(counts, inputs, key=None)["rates"])(
        valid.counts, valid.inputs
    )


def run(arguments):
    """Train all arms; the record that is written and drawn."""
    cache.switch_on()
    trials = ut.simulate.chaotic_rnn(**DATA)
    arms = {}
    for name, settings in ARMS.items():
        arms[name] = curve(trials, settings, arguments)
        print(f"{name}: trained", flush=True)
    record = {"data": DATA, "arms": arms}
    write_bytes(arguments.out, json.dumps(record, indent=1).encode())
    return record


def show(record):
    """Print where each arm ends, and where each score is best."""
    print(f"{'':<20}{'rate R2: best':>14}{'last':>8}   {'where the likelihood is best':>30}")
    for name, points in record["arms"].items():
        r2 = [point["rate_r2"] for point in points]
        chosen = max(points, key=lambda point: point["bits_per_spike"])
        print(
            f"{name:<20}{max(r2):>14.3f}{r2[-1]:>8.3f}   {chosen['rate_r2']:>23.3f}, epoch {chosen['epoch']}"
        )


def draw(record):
    """What the validation likelihood says, beside the truth, over training."""
    figure = style.paper_figure(height=HEIGHT)
    axes = figure.subplots(1, 2)
    panels = (
        ("bits_per_spike", "bits per spike, own spikes seen", "What validation shows"),
        ("rate_r2", "R\u00b2 with the true rates", "What is true"),
    )
    for axis, (score, label, title) in zip(axes, panels, strict=True):
        for name, points in record["arms"].items():
            epochs = [point["epoch"] for point in points]
            values = np.maximum([point[score] for point in points], LOWEST[score])
            axis.plot(epochs, values, color=COLOURS[name], label=name)
        style.dress_axes(axis, x="epoch", y=label, title=title)
    style.legend_above(figure, axes[0])
    return figure


def main():
    """Train, print and draw, or only print and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="where the curves are written, as JSON")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--every", type=int, default=5, help="epochs between two points of a curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, section.key=value")
    parser.add_argument("--plot", type=Path, help="curves to draw, without training")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    if arguments.out is None and arguments.plot is None:
        parser.error("give --out FILE.json to train, or --plot FILE.json to draw what was trained")
    record = (
        run(arguments) if arguments.plot is None else json.loads(arguments.plot.read_text(encoding="utf-8"))
    )
    show(record)
    draw(record).savefig(arguments.picture, dpi=DOTS)


if __name__ == "__main__":
    main()
