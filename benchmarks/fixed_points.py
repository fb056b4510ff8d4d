"""Fixed points: how fast they are found in a large network, and how close those of fitted models are to the truth.

    python benchmarks/fixed_points.py speed [--units 200] [--starts 1024] [--epochs 20] [--repeats 3]
    python benchmarks/fixed_points.py truth FOLDER [--systems lorenz63 rossler] [--neurons 60] [--displaced 0]
        [--epochs 300] [--seed 0]

`speed` trains LFADS with an autonomous GRU of --units units on Lorenz trials, and looks for the fixed points of that GRU from
--starts states; the seconds of the first search hold compilation.

`truth` fits the autoencoder (neural ODE, 3 latents) to 6,000 simulated trials of --neurons neurons with standardised states, and
prints what `undertow analyze` says: for each true fixed point within the data's region the nearest that was found, after the best
affine map from inferred to true latents, in standard deviations of the attractor. A picture of each goes into FOLDER. With
--displaced trials begin around the attractor, so that there are data near its fixed points. Fits are runs in FOLDER and go on if
cut off.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
from threadpoolctl import threadpool_limits

import undertow as ut
from undertow.analysis.fixed_points import FixedPointSearch, find_fixed_points
from undertow.experiments import cache
from undertow.report.dynamics_paper import dynamics_planes_figure


def speed(arguments):
    """Print the seconds of each search."""
    trials = ut.simulate.SYSTEMS["lorenz"]()
    model = ut.LFADS(generator=arguments.units, inferred_inputs=0)
    with tempfile.TemporaryDirectory() as folder:
        training = ut.Training(epochs=arguments.epochs)
        fitted = ut.fit(model, trials, out=Path(folder) / "run", training=training)
        latents = fitted.infer(trials, samples=0).latents.values.reshape(-1, arguments.units)
    search = FixedPointSearch(starts=arguments.starts)
    for repeat in range(arguments.repeats):
        begun = time.perf_counter()
        with threadpool_limits(limits=1, user_api="blas"):
            points = find_fixed_points(fitted.model.dynamics(), latents, search=search, seed=repeat)
        seconds = time.perf_counter() - begun
        found = f"{len(points.states)} fixed points"
        print(f"{arguments.units} units, {arguments.starts} starts: {seconds:.1f} s, {found}", flush=True)
        jax.clear_caches()


def truth(arguments):
    """Print the comparison for each system."""
    cache.switch_on()
    for system in arguments.systems:
        trials = ut.simulate.SYSTEMS[system](
            neurons=arguments.neurons,
            readout="standardised",
            trials=6000,
            displaced=arguments.displaced,
            seed=0,
        )
        name = f"{system}-{arguments.neurons}-{arguments.displaced:g}-{arguments.seed}"
        fitted = ut.fit(
            ut.Autoencoder(latents=3, time_step=0.0142857, dropout_rate=0.0),
            trials,
            out=arguments.folder / name,
            training=ut.Training(epochs=arguments.epochs, patience=4000, batch_size=32),
            objective=ut.Objective(incremental_epochs=60, kl_ramp=0, penalty_ramp=0),
            optimiser=ut.Optimiser(learning_rate=4e-3, weight_decay=1e-5),
            corruption=ut.Corruption(coordinated_dropout=0.2),
            seed=arguments.seed,
        )
        found = ut.analyze(fitted, trials)
        print(f"{system}, {fitted.outcome['seconds']:.0f} s\n{found}\n", flush=True)
        dynamics_planes_figure(found.document).savefig(arguments.folder / f"{name}.png", dpi=110)


def main():
    """Run what was asked for."""
    parser = argparse.ArgumentParser()
    what = parser.add_subparsers(required=True)
    fast = what.add_parser("speed")
    fast.add_argument("--units", type=int, default=200)
    fast.add_argument("--starts", type=int, default=1024)
    fast.add_argument("--epochs", type=int, default=20)
    fast.add_argument("--repeats", type=int, default=3)
    fast.set_defaults(run=speed)
    true = what.add_parser("truth")
    true.add_argument("folder", type=Path)
    true.add_argument("--systems", nargs="+", default=["lorenz63", "rossler"])
    true.add_argument("--neurons", type=int, default=60)
    true.add_argument("--displaced", type=float, default=0.0)
    true.add_argument("--epochs", type=int, default=300)
    true.add_argument("--seed", type=int, default=0)
    true.set_defaults(run=truth)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
