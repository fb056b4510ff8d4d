"""A neural ODE as dynamics: the velocity of the latents is a network, and a solver of Diffrax integrates it over each bin.

The inputs are constant within a bin. With fixed steps a bin is `solver_steps` steps of the solver's Runge-Kutta tableau, written
out, so that they are differentiated as they were taken, in either direction, and can be exported. An adaptive solver chooses its
steps anew in every bin, to `tolerance`, and is differentiated through recursive checkpoints (Kidger 2022);
where it needs more than `max_solver_steps` the state is NaN.
"""

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from undertow.components.dynamics import DynamicsChoices, Residual, Solver

SOLVERS: dict[Solver, type[diffrax.AbstractSolver]] = {
    "heun": diffrax.Heun,
    "midpoint": diffrax.Midpoint,
    "bosh3": diffrax.Bosh3,
    "tsit5": diffrax.Tsit5,
    "dopri5": diffrax.Dopri5,
}


class NeuralODE(Residual):
    """dz/ds = V(z, drive), from the bin's begin to its end, `time_step` later."""

    solver: Solver = eqx.field(static=True)
    solver_steps: int = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)
    max_solver_steps: int = eqx.field(static=True)

    def __init__(
        self, choices: DynamicsChoices, inputs: int, size: int, *, limit: float, key: Key[Array, ""]
    ):
        super().__init__(choices, inputs, size, limit=limit, key=key)
        self.solver, self.solver_steps = choices.solver, choices.solver_steps
        self.tolerance = choices.tolerance if choices.adaptive else None
        self.max_solver_steps = choices.max_solver_steps

    def move(self, state: Array, drive: Array) -> Array:
        """One bin onward; NaN where an adaptive solver ran out of steps."""
        solver = SOLVERS[self.solver]()
        if self.tolerance is None:
            return self._in_fixed_steps(solver.tableau, state, drive)
        return self._in_chosen_steps(solver, state, drive)

    def _in_fixed_steps(self, tableau: diffrax.ButcherTableau, state: Array, drive: Array) -> Array:
        length = self.time_step / self.solver_steps
        for _ in range(self.solver_steps):
            slopes = [self.field(state, drive)]
            for weights in tableau.a_lower:
                slopes.append(self.field(state + length * _mixed(weights, slopes), drive))
            state = state + length * _mixed(tableau.b_sol, slopes)
        return state

    def _in_chosen_steps(self, solver: diffrax.AbstractSolver, state: Array, drive: Array) -> Array:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda _, latents, drive: self.field(latents, drive)),
            solver,
            0.0,
            self.time_step,
            self.time_step,
            state,
            args=drive,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            max_steps=self.max_solver_steps,
            throw=False,
        )
        is_there = solution.result == diffrax.RESULTS.successful
        return jnp.where(is_there, solution.ys[0], jnp.nan)


def _mixed(weights: np.ndarray, slopes: list[Array]) -> Array:
    """The weighted sum of the slopes that count."""
    return sum(float(weight) * slope for weight, slope in zip(weights, slopes, strict=True) if weight)
