"""What a unit of the chip does: one file a kind, in closed form."""
