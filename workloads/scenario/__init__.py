"""One experiment in a TOML file: schema, changes from outside, arrivals, one-line refusals."""
