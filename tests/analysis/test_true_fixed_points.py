"""The known fixed points of Lorenz and Rossler, from their flows in mixed coordinates: place, kind and eigenvalues."""

import numpy as np
import pytest

from undertow.analysis.alignment import align
from undertow.analysis.fixed_points import FixedPoints, FixedPointSearch, find_fixed_points
from undertow.analysis.linearisation import linearise
from undertow.analysis.truth import compare, true_side


def looked_at(flow):
    """Found points, their linearisation, the alignment, the true side, and the states of both, of a flow."""
    data, true = flow.data.reshape(-1, 3), flow.true.reshape(-1, 3)
    points = find_fixed_points(flow.dynamics, data, search=FixedPointSearch(starts=128))
    linear = linearise(flow.dynamics, points.states, bin_width=flow.bin_width)
    return points, linear, align(data, true), known_side(flow), (data, true)


def known_side(flow):
    jacobians = flow.jacobians * flow.bin_width
    return true_side(flow.fixed_points, jacobians, flow.true.reshape(-1, 3), bin_width=flow.bin_width)


@pytest.fixture(scope="module")
def seen(lorenz):
    return looked_at(lorenz)


def test_lorenz(seen):
    points, linear, alignment, true, states = seen
    comparison = compare(points, linear, alignment, true, states=states)
    assert alignment.r2 == pytest.approx(1)
    assert sorted(true.kinds) == ["saddle", "saddle focus", "saddle focus"]
    assert comparison.expected.tolist() == [0, 1, 2]
    assert sorted(comparison.found) == [0, 1, 2]
    assert comparison.same_kind.all()
    assert comparison.distances.max() < 0.01
    assert comparison.nearby_distances.max() < 0.01
    assert comparison.relative_errors.max() < 0.01
    np.testing.assert_allclose(comparison.growth, true.growth, atol=0.05)
    assert comparison.eigenvalue_errors.shape == (3, 3)
    assert comparison.strays.size == 0


def test_rossler_has_one_inside_and_one_far_away(rossler):
    points, linear, alignment, true, states = looked_at(rossler)
    comparison = compare(points, linear, alignment, true, states=states)
    assert comparison.expected.tolist() == [0]
    assert len(points.states) == 1
    assert comparison.same_kind.tolist() == [True]
    assert comparison.distances[0] < 0.01
    assert comparison.relative_errors[0] < 0.01


def test_a_wrong_stability_and_a_stray_are_seen(seen):
    points, linear, alignment, true, states = seen
    wrong = [kind.replace("saddle focus", "stable focus") for kind in true.kinds]
    comparison = compare(points, linear, alignment, true._replace(kinds=wrong), states=states)
    assert comparison.same_kind.sum() == 1
    far = points.states[:1] + 3 * true.scale
    more = FixedPoints(*(np.concatenate([array, array[:1]]) for array in points))
    more = more._replace(states=np.concatenate([points.states, far]))
    doubled = linear._replace(jacobians=np.concatenate([linear.jacobians, linear.jacobians[:1]]))
    assert compare(more, doubled, alignment, true, states=states).strays.tolist() == [3]


def test_nothing_found_is_a_comparison_too(seen):
    points, linear, alignment, true, states = seen
    none = FixedPoints(*(array[:0] for array in points))
    found = linear._replace(jacobians=linear.jacobians[:0])
    comparison = compare(none, found, alignment, true, states=states)
    assert comparison.found.tolist() == [-1, -1, -1]
    assert np.isnan(comparison.distances).all()
    assert np.isnan(comparison.nearby_distances).all()
    assert not comparison.same_kind.any()
    assert comparison.strays.size == 0


def test_the_true_scale_is_the_root_of_the_mean_variance(lorenz):
    true = known_side(lorenz)
    assert true.scale == pytest.approx(np.sqrt(lorenz.true.reshape(-1, 3).var(axis=0).mean()))
    expected = np.linalg.norm(lorenz.true.reshape(-1, 3) - lorenz.fixed_points[1], axis=1).min()
    assert true.distances[1] == pytest.approx(expected / (true.scale * np.sqrt(3)))
