"""The layer of the transformer from the formula, bin by bin and head by head in NumPy: what the compiled one is held against."""

import numpy as np


def attended(attention, tokens, allowed, dropped=None):
    """What each bin gathers; `dropped` (head, bin, bin) are the factors of dropout on the weights."""
    time, width = tokens.shape
    size = width // attention.heads
    mapped = tokens @ np.asarray(attention.query_key_value.kernel) + np.asarray(
        attention.query_key_value.bias
    )
    gathered = np.zeros((time, width))
    for head in range(attention.heads):
        query, key, value = (
            mapped[:, part * width + head * size : part * width + (head + 1) * size] for part in range(3)
        )
        for now in range(time):
            scores = {
                other: score(attention, head, query[now], key[other], (now, other))
                for other in range(time)
                if allowed[now, other]
            }
            whole = sum(np.exp(one) for one in scores.values())
            for other, one in scores.items():
                kept = 1.0 if dropped is None else dropped[head, now, other]
                gathered[now, head * size : (head + 1) * size] += kept * np.exp(one) / whole * value[other]
    return gathered @ np.asarray(attention.output.kernel) + np.asarray(attention.output.bias)


def score(attention, head, query, key, bins):
    """q . k / sqrt(d), with the rotation or the bias of the distance where the positions ask for it."""
    now, other = bins
    if attention.is_rotary:
        query, key = turned(query, now), turned(key, other)
    bias = 0.0
    if attention.distance_bias is not None:
        farthest = attention.distance_bias.shape[1] // 2
        bias = float(attention.distance_bias[head, np.clip(now - other, -farthest, farthest) + farthest])
    return query @ key / np.sqrt(len(query)) + bias


def turned(values, place):
    """Pairs of entries as complex numbers, the first half's beside the second half's, each turned by its own frequency."""
    half = len(values) // 2
    angles = place / 10_000.0 ** (np.arange(half) / max(half, 1))
    pairs = (values[:half] + 1j * values[half : 2 * half]) * np.exp(1j * angles)
    return np.concatenate([pairs.real, pairs.imag, values[2 * half :]])


def normalised(norm, tokens):
    """Each token to mean 0 and variance 1, then scaled and shifted."""
    spread = np.sqrt(tokens.var(axis=-1, keepdims=True) + 1e-5)
    normal = (tokens - tokens.mean(axis=-1, keepdims=True)) / spread
    return normal * np.asarray(norm.scale) + np.asarray(norm.offset)


def mixed(spatial, tokens, is_seen):
    """The channels mixed by how their courses go together."""
    query, key = (np.asarray(kernel)[: len(tokens)] for kernel in (spatial.query_kernel, spatial.key_kernel))
    courses = np.where(is_seen[:, None], tokens, 0.0)
    mix = np.exp((courses.T @ query) @ (courses.T @ key).T / np.sqrt(query.shape[1]))
    return tokens @ (mix / mix.sum(axis=1, keepdims=True)).T


def widened(layer, tokens):
    """The network of one hidden layer."""
    hidden = np.maximum(tokens @ np.asarray(layer.widen.kernel) + np.asarray(layer.widen.bias), 0.0)
    return hidden @ np.asarray(layer.narrow.kernel) + np.asarray(layer.narrow.bias)


def layered(layer, tokens, allowed, is_seen):
    """A whole layer, with its norms before or after."""
    branches = [(layer.attention_norm, lambda inside: attended(layer.attention, inside, allowed))]
    if layer.spatial is not None:
        branches.append((layer.spatial_norm, lambda inside: mixed(layer.spatial, inside, is_seen)))
    branches.append((layer.forward_norm, lambda inside: widened(layer, inside)))
    for norm, branch in branches:
        if layer.norm == "before":
            tokens = tokens + branch(normalised(norm, tokens))
        else:
            tokens = normalised(norm, tokens + branch(tokens))
    return tokens
