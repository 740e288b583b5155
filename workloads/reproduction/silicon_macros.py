"""Sizes, bits and nodes of measured macros, as what differs from a preset.

Sources: the macros' publications, as CiMLoop's validation quotes them (mit-emze/cimloop).
"""

NEURRAM = {"cores.adc.slc_bits": 6, "cores.adc.mlc_bits": 6}
JIA = {
    "analog.rows": 2304,
    "analog.columns": 256,
    "analog.arrays": 1,
    "analog.adc.per_array": 256,
    "analog.input_bits": 1,
    "analog.weight_bits": 1,
    "analog.mlc_bits": 1,
    "analog.adc.slc_bits": 8,
    "analog.adc.mlc_bits": 8,
}
WANG = {"chip.technology_nm": 22, "analog.adc.slc_bits": 8, "analog.adc.mlc_bits": 8}
NODE_28 = {"chip.technology_nm": 28}
