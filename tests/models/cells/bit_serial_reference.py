"""A crossbar read in the plainest loops: integers, one column, one plane at a time.

Written from the rules alone (docs of models/cells/cell_columns.py and crossbar.py); shares no code
with them.
"""

import numpy as np


def reference(x, weights, *, cell_bits, rows, sign, bits, input_bits, adc_bits, scale):
    """x (B, in), weights (out, in), both integers: (B, out) as the converters leave it."""
    result = np.zeros((len(x), len(weights)))
    for o, row in enumerate(weights):
        for worth, levels, low, high in columns(row, cell_bits, sign, bits):
            for top in range(0, len(row), rows):
                tile = slice(top, top + rows)
                for plane in range(input_bits):
                    on = (x[:, tile].astype(int) >> plane) & 1
                    code = convert(on @ levels[tile], rows * low, rows * high, adc_bits, scale)
                    place = -(2**plane) if plane == input_bits - 1 else 2**plane
                    result[:, o] += place * worth * code
        if sign == "biased":
            result[:, o] -= 2 ** (bits - 1) * x.sum(1, dtype=int)
    return result


def columns(row, cell_bits, sign, bits):
    """Worth, levels, lowest and highest level of each column of a row of codes."""
    row = row.astype(int)
    for start in range(0, bits, cell_bits):
        width = min(cell_bits, bits - start)
        worth, most = 2**start, 2**width - 1

        def cut(values, start=start, most=most):
            return values >> start & most

        if sign == "biased":
            yield worth, cut(row + 2 ** (bits - 1)), 0, most
        elif sign == "differential":
            yield worth, cut(np.where(row > 0, row, 0)), 0, most
            yield -worth, cut(np.where(row < 0, -row, 0)), 0, most
        elif sign == "differential-rows":
            yield worth, np.sign(row) * cut(abs(row)), -most, most
        elif start + width < bits or width > 1:
            signed = start + width == bits
            levels = cut(row)
            levels = np.where(signed & (levels > most // 2), levels - most - 1, levels)
            yield worth, levels, -(most + 1) // 2 if signed else 0, most // 2 if signed else most
        else:
            yield -worth, cut(row), 0, 1


def convert(sums, low, high, adc_bits, scale):
    """Codes times their step; adc_bits None: the sums."""
    if adc_bits is None:
        return sums
    step = max(1, (high - low) / (2**adc_bits - 1)) if scale else 1
    first = 0
    if low:
        first = round(low / step) if step != 1 else -(2 ** (adc_bits - 1))
    codes = np.floor(np.float32(sums) / np.float32(step) + np.float32(0.5))
    return np.clip(codes, first, first + 2**adc_bits - 1) * step
