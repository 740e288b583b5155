"""The Particle Transformer: layers, inputs, training, top-k attention, checkpoints."""
