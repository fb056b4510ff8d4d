"""The generator that a model's choices of dynamics name."""

from jaxtyping import Array, Key

from undertow.components.cells import GRU
from undertow.components.dynamics import RNN, Dynamics, DynamicsChoices, LinearDynamics, Residual

PLAIN = {"gru": GRU, "rnn": RNN, "linear": LinearDynamics}


def build_generator(
    choices: DynamicsChoices, inputs: int, size: int, *, limit: float, key: Key[Array, ""]
) -> GRU | Dynamics:
    """Dynamics of so many latents, pushed by so many inputs, at the start of training."""
    if choices.dynamics in PLAIN:
        return PLAIN[choices.dynamics](inputs, size, limit=limit, key=key)
    if choices.dynamics == "residual":
        return Residual(choices, inputs, size, limit=limit, key=key)
    from undertow.components.neural_ode import NeuralODE  # here, for Diffrax takes most of a second to import

    return NeuralODE(choices, inputs, size, limit=limit, key=key)
