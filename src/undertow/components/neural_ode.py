"""A neural ODE as dynamics: the velocity of the latents is a network, and a solver of Diffrax integrates it over each bin.

The inputs are constant within a bin. With fixed steps a bin is `solver_steps` steps of the solver, differentiated as they were
taken. An adaptive solver chooses its steps anew in every bin, to `tolerance`, and is differentiated through recursive
checkpoints (Kidger 2022; Stumm and Walther 2010); where it needs more than `max_solver_steps` the state is NaN.
"""

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Key

from undertow.components.dynamics import DynamicsChoices, Residual, Solver

SOLVERS: dict[Solver, type[diffrax.AbstractSolver]] = {
    "euler": diffrax.Euler,
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
        term = diffrax.ODETerm(lambda _, latents, drive: self.field(latents, drive))
        solver = SOLVERS[self.solver]()
        if self.tolerance is None:
            return self._in_fixed_steps(term, solver, state, drive)
        return self._in_chosen_steps(term, solver, state, drive)

    def _in_fixed_steps(self, term, solver, state: Array, drive: Array) -> Array:
        length = self.time_step / self.solver_steps
        kept = solver.init(term, 0.0, length, state, drive)
        for _ in range(self.solver_steps):
            state, _, _, kept, _ = solver.step(term, 0.0, length, state, drive, kept, made_jump=False)
        return state

    def _in_chosen_steps(self, term, solver, state: Array, drive: Array) -> Array:
        solution = diffrax.diffeqsolve(
            term,
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
