"""Looking inside a fitted model: by which law its latents move, and whether it is that of the system that made the data.

The room may import vocabulary, components and models. It takes a model's `LatentDynamics` (`Model.dynamics()`) and states of
the data as arrays, computes with JAX, and gives NumPy arrays. Begin reading at `fixed_points.py`.

* `fixed_points.find_fixed_points`: where the dynamics stand still (how: `pursuit.py`; near what: `region.py`);
* `linearisation.linearise`, `.kind_of`: Jacobians, eigenvalues, time constants, frequencies, and the kind of a fixed point;
* `lyapunov.lyapunov_spectrum`: whether neighbouring trajectories come apart;
* `flow_field.flow_slice`, `.principal_plane`: the flow in a plane, to be drawn;
* `alignment.align`: inferred latents in the true ones' coordinates;
* `truth.true_side`, `.compare`: fixed points beside the true system's;
* `similarity.dynamical_similarity`: how alike two systems move, from their trajectories alone.

    points = find_fixed_points(dynamics, latents)                        # latents: (state, latent) of all trials and bins
    linear = linearise(dynamics, points.states, bin_width=0.01)
    linear.kinds, linear.time_constants[:, 0], linear.frequencies[:, 0]
"""
