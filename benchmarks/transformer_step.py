"""Milliseconds of a training step of the transformer beside PyTorch's own `nn.TransformerEncoder` of the same size, in one run.

    python benchmarks/transformer_step.py [--python PATH] [--repeats 15] [--threads 1] [--compile]

For each size: one update as training makes it (a quarter of the bins masked, forward, backward, clipping, AdamW; 4 layers, 2
heads, feed-forward networks of 128, tokens of one unit a neuron, learned positions, batches of 64), without dropout and with 0.2.
Ours are measured as an epoch runs them, five in one call of a compiled loop. Rates of dropout are arrays here, for a search to
move, so that at 0 our step still draws what is dropped. PyTorch's side
(`transformer_step_side.py`) runs eagerly, or with --compile through torch.compile, in a process of its own that stays alive; the
two are timed in turn, five steps each. --python names a Python that has PyTorch; without it an environment is made in a temporary
folder by pip. Both sides have the same number of threads; this process keeps to as many cores.

Printed: medians with the 10th and 90th percentile by the clock and in processor time, and PyTorch's median over ours (above 1
ours is faster). On a machine that does other work at the same time, go by the processor time, with --threads 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--python", help="a Python that has PyTorch")
parser.add_argument("--repeats", type=int, default=15)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--compile", action="store_true", help="run PyTorch through torch.compile")
ARGUMENTS = parser.parse_args()
if sys.platform == "linux":  # before JAX counts the cores; PyTorch's process inherits it
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-ARGUMENTS.threads :]))

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from undertow.components.corruption import Corruption  # noqa: E402
from undertow.components.masking import Masking  # noqa: E402
from undertow.data.batches import TrialArrays  # noqa: E402
from undertow.models.transformer import NDT  # noqa: E402
from undertow.training.hyperparameters import CorruptionConfig  # noqa: E402
from undertow.training.loop import Choices, Training, beginning, plan_of  # noqa: E402
from undertow.training.objective import Objective  # noqa: E402
from undertow.training.optimiser import Optimiser  # noqa: E402
from undertow.training.step import step  # noqa: E402

SIDE = Path(__file__).with_name("transformer_step_side.py")
SIZES = ((100, 100), (182, 140), (30, 50))  # neurons, bins
DROPOUTS = (0.0, 0.2)
UPDATES = 5  # of ours in one call
BATCH, LAYERS, HEADS, FEED_FORWARD, MASK_RATE = 64, 4, 2, 128, 0.25


class PyTorch:
    """A process that runs training steps of PyTorch's encoder of this size when it is asked to."""

    def __init__(self, python: str, size: dict):
        self._process = subprocess.Popen(
            [python, str(SIDE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._ask(json.dumps(size))

    def measure(self, steps: int) -> dict[str, list[float]]:
        """Milliseconds of so many steps, by the clock and of processor time."""
        return self._ask(str(steps))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, line: str) -> dict:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Ours:
    """The compiled update of this size; `compile_seconds` is what tracing and compiling took."""

    def __init__(self, size: dict):
        rng = np.random.default_rng(0)
        counts = rng.poisson(0.2, (size["batch"], size["bins"], size["neurons"])).astype(np.float32)
        data = TrialArrays(
            counts, np.zeros((*counts.shape[:2], 0), np.float32), np.arange(len(counts), dtype=np.int32)
        )
        choices = choices_of(size)
        corruption = Corruption(
            jnp.zeros(size["neurons"], bool),
            jnp.zeros(size["bins"], bool),
            Masking(jnp.zeros(size["neurons"], jnp.int32), 1, ("bins",)),
            moves_spikes=False,
        )
        plan, state = plan_of(choices, corruption, data), beginning(choices, data, seed=0)
        changing, static = eqx.partition(state, eqx.is_array)

        def run(changing, batch, key):
            def one(changing, key):
                state, metrics = step(plan, eqx.combine(changing, static), batch, key=key)
                return eqx.filter(state, eqx.is_array), metrics

            return jax.lax.scan(one, changing, jax.random.split(key, UPDATES))

        self._arguments = (changing, jax.tree.map(jnp.asarray, data), jax.random.key(1))
        begun = time.perf_counter()
        self._run = jax.jit(run).lower(*self._arguments).compile()
        self.compile_seconds = time.perf_counter() - begun
        self.measure(1)

    def measure(self, steps: int) -> dict[str, list[float]]:
        """Milliseconds of a step, by the clock and of processor time, in so many calls."""
        wall, cpu = [], []
        for _ in range(steps):
            begun, worked = time.perf_counter(), time.process_time()
            jax.block_until_ready(self._run(*self._arguments))
            wall.append(1e3 * (time.perf_counter() - begun) / UPDATES)
            cpu.append(1e3 * (time.process_time() - worked) / UPDATES)
        return {"wall": wall, "cpu": cpu}


def choices_of(size):
    """What a recipe would say."""
    rate = size["dropout"]
    model = NDT(
        layers=size["layers"],
        heads=size["heads"],
        embedding="identity",
        feed_forward=size["feed_forward"],
        positions="learned",
        factors=0,
        dropout_rate=rate,
        embedding_dropout_rate=rate,
        readout_dropout_rate=rate,
    )
    corruption = CorruptionConfig(coordinated_dropout=0.0, mask_rate=size["mask_rate"], masks=("bins",))
    return Choices(model, Training(batch_size=size["batch"]), Optimiser(), Objective(), corruption)


def sizes():
    """Every size, without dropout and with."""
    fixed = {
        "threads": ARGUMENTS.threads,
        "compile": ARGUMENTS.compile,
        "batch": BATCH,
        "layers": LAYERS,
        "heads": HEADS,
        "feed_forward": FEED_FORWARD,
        "mask_rate": MASK_RATE,
    }
    for neurons, bins in SIZES:
        for dropout in DROPOUTS:
            yield {**fixed, "neurons": neurons, "bins": bins, "dropout": dropout}


def environment(folder):
    """The Python of a fresh environment with PyTorch."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return str(python)


def compared(size, python):
    """Milliseconds by side and clock, the two sides in turn; what PyTorch says of itself; seconds to compile ours."""
    ours, theirs = Ours(size), PyTorch(python, size)
    theirs.measure(1)
    milliseconds = {name: {"wall": [], "cpu": []} for name in ("undertow", "pytorch")}
    for _ in range(ARGUMENTS.repeats):
        for name, side, calls in (("undertow", ours, 1), ("pytorch", theirs, UPDATES)):
            for clock, values in side.measure(calls).items():
                milliseconds[name][clock] += values
    theirs.close()
    return milliseconds, theirs.facts, ours.compile_seconds


def spread(values):
    """The median, and the 10th and 90th percentile."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return f"{middle:7.1f} ms ({low:.1f} to {high:.1f})"


def main():
    """Print a block for each size."""
    with tempfile.TemporaryDirectory() as folder:
        python = ARGUMENTS.python or environment(Path(folder) / "environment")
        for size in sizes():
            milliseconds, facts, seconds = compared(size, python)
            way = "torch.compile" if size["compile"] else "eager"
            print(
                f"neurons {size['neurons']}, bins {size['bins']}, dropout {size['dropout']}: JAX {jax.__version__} "
                f"(compiled in {seconds:.1f} s), PyTorch {facts['version']} {way}, threads {facts['threads']}"
            )
            for clock, words in (("wall", "by the clock"), ("cpu", "processor time")):
                ours, theirs = (milliseconds[name][clock] for name in ("undertow", "pytorch"))
                ratio = np.median(theirs) / np.median(ours)
                print(f"  {words:<15} ours {spread(ours)}, PyTorch {spread(theirs)}: {ratio:.2f}")


if __name__ == "__main__":
    main()
