"""The smallest model that has everything training speaks of, so that tests of training compile in a second."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from undertow.components.corruption import Corruption
from undertow.components.linear import Linear
from undertow.components.observations import OBSERVATIONS, Observation
from undertow.data.batches import TrialArrays
from undertow.models.base import Model, ModelConfig, Range, Streaming, reconstruction
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser

TRIALS, TIME, NEURONS = 12, 6, 4
HELD_OUT = np.array([False, True, False, False])
FORWARD = np.array([False] * 5 + [True])


class Tiny(ModelConfig):
    section: ClassVar[str] = "tiny"
    weights: ClassVar[dict[str, float]] = {"kl_code": 1.0, "kernel_penalty": 0.1}

    space: ClassVar[dict[str, Range]] = {
        "optimiser.learning_rate": Range(low=1e-4, high=1e-1, prior="log_uniform"),
        "tiny.noise": Range(low=0.0, high=0.5),
        "objective.weights.kl_code": Range(
            low=1e-3, high=1.0, prior="log_uniform", is_bounded=False, unit="mean"
        ),
    }

    width: int = Field(2, ge=1)
    observation: Literal["poisson", "gamma"] = "poisson"
    noise: float = Field(0.1, ge=0)

    def settings(self):
        return {"noise": self.noise}

    def for_sessions(self):
        return self  # without inputs every row of `down` is a neuron's

    def build(self, data, *, key):
        observation = OBSERVATIONS[self.observation](data.neurons)
        down_key, up_key = jax.random.split(key)
        size = data.neurons * observation.parameters
        return TinyModel(
            Linear(data.neurons + data.inputs, self.width, key=down_key),
            Linear(self.width, size, key=up_key),
            observation.start(data.mean, data.variance),
            observation,
        )


class TinyModel(Model):
    neuron_axes: ClassVar[dict[str, int]] = {"down.kernel": 0, "up.kernel": 1, "up.bias": 0, "bias": 0}

    down: Linear
    up: Linear
    bias: jax.Array
    observation: Observation

    def parameters(self, seen, inputs, noise):
        counts = jnp.where(jnp.isfinite(seen), seen, 0.0)
        code = jnp.tanh(self.down(jnp.concatenate([counts, inputs], axis=-1))) + noise
        return code, self.up(code).reshape(-1, *self.bias.shape) + self.bias[None]

    def terms(self, corrupted, inputs, settings, *, key):
        noise = settings["noise"] * jax.random.normal(key, (corrupted.seen.shape[0], self.down.bias.shape[0]))
        code, parameters = self.parameters(corrupted.seen, inputs, noise)
        return {
            "reconstruction": reconstruction(self.observation, parameters, corrupted),
            "kl_code": 0.5 * jnp.sum(code**2),
        }

    def penalties(self):
        return {"kernel_penalty": 0.5 * jnp.mean(self.up.kernel**2)}

    def estimate(self, seen, inputs, *, key):
        shape = (seen.shape[0], self.down.bias.shape[0])
        noise = jnp.zeros(shape) if key is None else 0.1 * jax.random.normal(key, shape)
        code, parameters = self.parameters(seen, inputs, noise)
        return {"rates": self.observation.mean(parameters), "factors": code}

    def streaming(self):
        """Each bin by itself."""

        def advance(state, counts, inputs):
            estimate = self.estimate(counts[None], inputs[None], key=None)
            return state + 1, {name: value[0] for name, value in estimate.items()}

        return Streaming(
            lambda first, known: (jnp.int32(0), self.estimate(first, known, key=None)),
            advance,
        )


def trial_arrays(trials=TRIALS, *, seed=0, first=0) -> TrialArrays:
    """Counts with a missing entry, a short trial, and one known input."""
    rng = np.random.default_rng(seed)
    slow = 1 + np.sin(np.linspace(0, 3, TIME))[:, None] * rng.uniform(0, 1, NEURONS)
    counts = rng.poisson(2 * slow, (trials, TIME, NEURONS)).astype(np.float32)
    counts[0, 2, 1] = counts[1, 4:] = np.nan
    inputs = rng.normal(size=(trials, TIME, 1)).astype(np.float32)
    return TrialArrays(counts, inputs, np.arange(first, first + trials, dtype=np.int32))


def corruption(*, held_out=HELD_OUT, forward=FORWARD) -> Corruption:
    return Corruption(jnp.asarray(held_out), jnp.asarray(forward), moves_spikes=False)


def choices(model=None, **sections) -> Choices:
    """Short ramps and small batches; each section's own keys override."""
    given = {
        "training": {"epochs": 6, "batch_size": 5},
        "optimiser": {},
        "objective": {"kl_ramp": 2, "penalty_ramp": 1},
        "corruption": {},
    }
    merged = {name: {**keys, **sections.get(name, {})} for name, keys in given.items()}
    return Choices(
        model or Tiny(),
        Training(**merged["training"]),
        Optimiser(**merged["optimiser"]),
        Objective(**merged["objective"]),
        CorruptionConfig(**merged["corruption"]),
    )


def same_bits(first, second) -> bool:
    """Whether two pytrees hold the same arrays to the last bit."""
    plain = lambda leaf: np.asarray(  # noqa: E731
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    )
    pairs = zip(
        jax.tree.leaves(eqx.filter(first, eqx.is_array)),
        jax.tree.leaves(eqx.filter(second, eqx.is_array)),
        strict=True,
    )
    return all(plain(a).tobytes() == plain(b).tobytes() for a, b in pairs)
