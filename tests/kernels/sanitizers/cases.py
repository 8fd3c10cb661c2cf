"""Random cases of every operation, and their twins in NumPy."""

import numpy as np
from harness import OPERATIONS, Case

GUARD = 1e-8
RELATIVE_GUARD, TINY = 1e-3, 1e-24  # of the entropy
# Ends of vectors (2 to 16 weights), of tiles (1024), none and one.
WIDTHS = (0, 1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 100)
WIDE = (1023, 1024, 1025, 2050)
# Up to 64 together each sample is compared with each; beyond, they are sorted.
COUNTS = (1, 2, 3, 5, 8, 31, 32, 33, 62, 63, 64, 65, 100)
KINDS = ("normal", "grid", "zeros", "same", "near", "denormal", "huge", "wide", "special")
SPECIAL = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0)


def values(rng, shape, dtype, kind):
    """Returns an array of random numbers; `kind` is one of `KINDS`."""
    info = np.finfo(dtype)
    x = rng.normal(size=shape)
    if kind == "grid":  # duplicates and equal distances
        x = np.round(x * 4) / 4
    elif kind == "zeros":
        x = np.where(rng.random(shape) < 0.5, 0.0, -0.0)
    elif kind == "same":
        x = np.full(shape, 0.3)
    elif kind == "near":  # some units in the last place apart
        x = 100 + 100 * info.eps * np.round(4 * x)
    elif kind == "denormal":
        x = x * float(info.smallest_subnormal) * 1000
    elif kind == "huge":
        x = x * float(np.sqrt(info.max)) * 10.0 ** rng.integers(-3, 2)
    elif kind == "wide":  # of all magnitudes whose squares have one
        x = np.sign(x) * 10.0 ** rng.uniform(np.log10(info.tiny) / 2, np.log10(info.max) / 2, shape)
    elif kind == "special" and x.size:
        x = x.copy()
        for _ in range(rng.integers(1, 4)):
            x.flat[rng.integers(x.size)] = SPECIAL[rng.integers(len(SPECIAL))]
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def draw(rng, sets):
    """Returns a random case on one of the instruction sets."""
    operation, dtype = rng.choice(OPERATIONS), rng.choice([np.float32, np.float64])
    kind = rng.choice(KINDS)
    common = {
        "instruction_set": str(rng.choice(sets)),
        "threads": int(rng.choice([1, 1, 2, 3, 5])),
        "callers": int(rng.choice([1, 1, 1, 2, 3])),
        "offset": int(rng.integers(0, 4)),
    }
    if operation == "entropy":
        n = max(int(rng.choice(COUNTS)), 2)
        pool = WIDTHS + WIDE if n < 10 else WIDTHS
        q = [values(rng, (n, width), dtype, kind) for width in rng.choice(pool, rng.integers(1, 4))]
        return Case("entropy", q, (float(rng.choice([0.0, 1.0, 4.0])),), **common)
    if operation in ("kl", "drawn_kl"):
        n, m = max(int(rng.choice(COUNTS)), 2), int(rng.choice(COUNTS))
        pool = WIDTHS + WIDE if n * (n + m) < 200 else WIDTHS
        widths = rng.choice(pool, rng.integers(1, 4))
        q = [values(rng, (n, width), dtype, kind) for width in widths]
        if operation == "kl":
            p = [values(rng, (m, width), dtype, kind) for width in widths]
            return Case("kl", q + p, gradients=int(rng.integers(1, 4)), **common)
        key, counter = rng.integers(0, 2**32, (2, 2)).tolist()
        stddev = float(np.float32(rng.choice([0.0, 1e-3, 1.0, 7.5])))
        settings = {"num_drawn": m, "key": tuple(key), "counter": tuple(counter)}
        return Case("drawn_kl", q, (stddev,), **settings, **common)
    rank, rows = int(rng.choice([0, 1, 2, 5, 7, 8, 9, 17])), int(rng.choice([0, 1, 3, 8, 9, 20]))
    columns = int(rng.choice((*WIDTHS, 255, 256, 257, 600, 1025)))
    left, matrix = values(rng, (rank, rows), dtype, kind), values(rng, (rows, columns), dtype, kind)
    if operation == "product":
        return Case("product", [left, matrix], **common)
    right = values(rng, (rank, columns), dtype, "normal")
    momentum = values(rng, (rows, columns), dtype, rng.choice(KINDS))
    with np.errstate(over="ignore"):
        velocity = np.square(values(rng, (rows, columns), dtype, rng.choice(KINDS)))
    settings = [10.0 ** rng.uniform(-5, 0), rng.choice([0.0, 0.9, 1.0]), rng.choice([0.0, 0.999])]
    settings = (*settings, 10.0 ** rng.uniform(-8, -3))
    settings = tuple(float(dtype(x)) for x in settings)
    return Case("adam", [left, right, matrix, momentum, velocity], settings, **common)


def check(case, results):
    """Raises AssertionError where results differ from the twin's."""
    with np.errstate(all="ignore"):
        if case.operation == "product":
            _check_product(case, *results)
        elif case.operation == "adam":
            _check_adam(case, *results)
        elif case.operation == "entropy":
            _check_entropy(case, results)
        else:
            _check_kl(case, results)


def _close(ours, theirs, tolerance, what):
    """Where the tolerance is a number; elsewhere nothing is known but that the memory is right."""
    known = np.isfinite(tolerance)
    wrong = known & ~(np.abs(ours.astype(np.float64) - theirs) <= tolerance)
    if np.any(wrong):
        place = tuple(np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}{place}: {ours[place]!r}, the twin {theirs[place]!r} +- {tolerance[place]!r}; "
            f"{wrong.sum()} of {wrong.size} differ"
        )


def _check_kl(case, results):
    *arrays, total = results
    count, n = len(case.posterior), len(case.posterior[0])
    expected, bound, finite = 0.0, 0.0, True
    for piece, q in enumerate(case.posterior):
        if case.num_drawn:
            p = arrays.pop(0)
            key = (case.key[0], (case.key[1] + piece) % 2**32)
            drawn = stream(key, case.counter, p.size).reshape(p.shape) * case.settings[0]
            # Sine and logarithm by series in float32, which may cancel; radii are below 6.
            _close(p, drawn, np.full(p.shape, 1e-5 * case.settings[0]), "draw")
        else:
            p = case.inputs[count + piece]
        logs, known, grad_q, grad_p, terms, tiny = kl(q, p)
        eps, least = float(np.finfo(q.dtype).eps), float(np.finfo(q.dtype).smallest_subnormal)
        expected += logs[:, known].sum()
        # Distances, squares, quotient and logarithm round to a few units in the last place
        # each, and so does a sum over n samples.
        bound += eps * (8 + (2 + n) * np.abs(logs[:, known])).sum()
        bound += 2.0**-53 * q.shape[1] * np.abs(logs[:, known]).sum()  # and one over weights
        finite &= bool(known.all())
        # Each term rounds, and a sum of up to n + m of them, maybe to denormal numbers. The term
        # 1 / (n d) of a distance d is lost where n d^2 overflows: it is then below this.
        lost = 1 / np.sqrt(n * float(np.finfo(q.dtype).max))
        tolerance = 2 * (n + len(p)) * (eps * terms + least / GUARD + lost)
        tolerance = np.where(known & ~tiny, tolerance, np.inf)
        for bit, gradient in ((1, grad_q), (2, grad_p)):
            if case.gradients & bit:
                ours = arrays.pop(0)
                wide = np.broadcast_to(tolerance, ours.shape)
                _close(ours, gradient, wide, f"gradient {bit} of piece {piece} ")
    if finite:
        bound += abs(expected) * eps
        assert abs(total - expected) <= bound, f"total {total}, the twin {expected} +- {bound}"
    else:
        assert not np.isfinite(total), f"total {total} in spite of what is not finite"


def _check_entropy(case, results):
    *gradients, total = results
    [precision], n = case.settings, len(case.inputs[0])
    expected, bound, finite = 0.0, 0.0, True
    for piece, (q, ours) in enumerate(zip(case.inputs, gradients, strict=True)):
        terms, known, gradient, size = entropy(q, precision)
        eps, least = float(np.finfo(q.dtype).eps), float(np.finfo(q.dtype).smallest_subnormal)
        expected += terms[:, known].sum()
        # As in `_check_kl`; squares of the weights, which the prior multiplies, may be far larger.
        bound += eps * (8 + (4 + n) * np.abs(terms[:, known])).sum()
        bound += 2.0**-53 * q.shape[1] * np.abs(terms[:, known]).sum()
        finite &= bool(known.all())
        tolerance = 8 * n * (eps * size + least / TINY)
        tolerance = np.broadcast_to(np.where(known, tolerance, np.inf), q.shape)
        _close(ours, gradient, tolerance, f"gradient of piece {piece} ")
    if finite:
        bound += abs(expected) * eps
        assert abs(total - expected) <= bound, f"total {total}, the twin {expected} +- {bound}"


def entropy(q, precision):
    """What `EntropyTile` is computed from, distances in its precision and the rest in float64.

    Returns:
        The terms of the sum, of each sample and weight; for each weight whether it is a number in
        the precision; the gradient; and the size of what it is a sum of.
    """
    n, dtype = len(q), q.dtype.type
    wide = q.astype(np.float64)
    centred = wide - wide[0] - (wide - wide[0]).mean(axis=0)
    relative = (RELATIVE_GUARD / n) ** 2
    guard = relative * (centred**2).mean(axis=0) + TINY
    largest = np.abs(wide).max(axis=0)
    known = n * largest**2 * (1 + precision) < float(np.finfo(dtype).max) / 64
    terms, gradient = 0.5 * precision * wide**2, precision * wide / n
    size = precision * largest / n
    for i, sample in enumerate(q):
        d = sample - q
        distance = np.abs(d)
        distance[i] = np.inf
        nearest = distance.min(axis=0)
        hit = distance == nearest
        # Sorted, only the next sample and its equals share; one behind it whose distance rounds to
        # the same does not.
        for side in (hit & (d > 0), hit & (d < 0)):
            least = np.where(side, wide, np.inf).min(axis=0)
            known &= ~side.any(axis=0) | (least == np.where(side, wide, -np.inf).max(axis=0))
        square = nearest.astype(np.float64) ** 2 + guard
        scale = 1 / (n * square)
        known &= scale > 4 * float(np.finfo(dtype).tiny) / relative
        push = np.where(hit, d, 0).astype(np.float64) * scale / hit.sum(axis=0)
        gradient[i] -= push.sum(axis=0)
        gradient += push - scale * (relative / n) * centred
        size = size + nearest * scale + scale * (relative / n) * np.abs(centred).max(axis=0)
        terms[i] -= 0.5 * np.log(square)
    return terms, known, gradient, size


def kl(q, p):
    """Eq. 2 of one piece, distances in its precision and the rest in float64.

    Returns:
        log(to_prior / to_self) of each sample and weight; for each weight whether that is a number
        in the precision; the gradients; the largest of their terms; and whether one of these is so
        small that 1 / (n distance^2) is none.
    """
    n, dtype = len(q), q.dtype.type
    grad_q, grad_p = np.zeros(q.shape), np.zeros(p.shape)
    logs, terms, tiny = np.empty(q.shape), np.zeros(q.shape[1]), np.zeros(q.shape[1], bool)
    known = np.isfinite(q).all(axis=0) & np.isfinite(p).all(axis=0)
    smallest = np.finfo(dtype).tiny if dtype is np.float32 else 0.0
    for i, sample in enumerate(q):
        squares = []
        for others, sign, target in ((p, 1, grad_p), (q, -1, grad_q)):
            d = sample - others
            distance = np.abs(d)
            if others is q:
                distance[i] = np.inf
            nearest = distance.min(axis=0)
            hit = distance == nearest
            narrow = nearest.astype(np.float64)
            scale = sign / (n * (narrow**2 + GUARD) * hit.sum(axis=0))
            pulls = np.where(hit, d, 0).astype(np.float64) * scale
            grad_q[i] += pulls.sum(axis=0)
            target -= pulls
            terms = np.maximum(terms, narrow / (narrow**2 + GUARD) / n)
            tiny |= 1 / (n * narrow**2) < 2 * float(np.finfo(dtype).tiny)
            squares.append((nearest * nearest + dtype(GUARD), narrow**2 + GUARD))
        ratio = squares[0][0] / squares[1][0]
        known &= np.isfinite(ratio) & (ratio > smallest)
        logs[i] = 0.5 * np.log(squares[0][1] / squares[1][1])
    return logs, known, grad_q, grad_p, terms, tiny


def stream(key, counter, count):
    """Standard normal numbers of tf.random.stateless_normal: Philox4x32-10, Box and Muller."""
    groups = np.arange((count + 3) // 4, dtype=np.uint64)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x = [groups & low, groups >> half, *(np.full_like(groups, c) for c in counter)]
    key = [np.uint64(k) for k in key]
    for _ in range(10):
        a, b = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        x = [(b >> half) ^ x[1] ^ key[0], b & low, (a >> half) ^ x[3] ^ key[1], a & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    u = [(word & np.uint64(0x7FFFFF)).astype(np.float64) / 2**23 for word in x]
    pairs = []
    for first, second in (u[:2], u[2:]):
        radius = np.sqrt(-2 * np.log(np.maximum(first, 1e-7)))
        pairs += [radius * np.sin(2 * np.pi * second), radius * np.cos(2 * np.pi * second)]
    return np.stack(pairs, axis=1).reshape(-1)[:count]


def _check_product(case, product):
    left, matrix = (x.astype(np.float64) for x in case.inputs)
    tolerance = _product_bound(case, np.abs(left) @ np.abs(matrix), len(matrix))
    _close(product, left @ matrix, tolerance, "product")
    if case.dtype == np.float64:
        finite = np.isfinite(left).all() and np.isfinite(matrix).all(axis=0)
        assert not np.isfinite(product[:, ~np.isfinite(matrix).all(axis=0)]).any() or finite.any()


def _product_bound(case, size, num_terms):
    """How far a sum of products may be off: `size` is the sum of their absolute values."""
    info = np.finfo(case.dtype)
    bound = (num_terms + 2) * float(info.eps) * size + num_terms * float(info.smallest_subnormal)
    return np.where(size < float(info.max) / 4, bound, np.inf)


def _check_adam(case, matrix, momentum, velocity, left_gradient):
    left, right, w, m, v = (x.astype(np.float64) for x in case.inputs)
    alpha, beta_1, beta_2, epsilon = case.settings
    info, rank = np.finfo(case.dtype), len(left)
    eps, least = float(info.eps), float(info.smallest_subnormal)
    size = np.abs(right) @ np.abs(w).T
    _close(left_gradient, right @ w.T, _product_bound(case, size, w.shape[1]), "left_gradient")
    g, size = left.T @ right, np.abs(left).T @ np.abs(right)
    off = _product_bound(case, size, rank)
    bound = off + 4 * eps * (np.abs(m) + size) + least
    _close(momentum, m + (g - m) * (1 - beta_1), bound, "momentum")
    bound = 2 * size * off + 4 * eps * (v + size**2) + 4 * least
    bound = np.where(v + size**2 < float(info.max) / 4, bound, np.inf)
    _close(velocity, v + (g * g - v) * (1 - beta_2), bound, "velocity")
    # From the moments that came out: the estimates of float32 are good to a few units, and roots
    # below 1e-15 are taken for that.
    m, v = momentum.astype(np.float64), velocity.astype(np.float64)
    step = alpha * m / (np.sqrt(v) + epsilon)
    bound = 8 * eps * np.abs(step) + 4 * eps * np.abs(w) + np.abs(step) * 1e-15 / epsilon
    bound += 4 * least * (1 + 1 / epsilon)
    fits = np.isfinite(v) & (np.abs(alpha * m) < float(info.max) / 4)
    fits &= np.abs(step) + np.abs(w) < float(info.max) / 4
    _close(matrix, w - step, np.where(fits, bound, np.inf), "matrix")
    lost = np.isnan(m) | np.isnan(v) | np.isnan(w)
    assert np.isnan(matrix[lost]).all(), "NaN was lost"
