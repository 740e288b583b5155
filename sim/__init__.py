"""The machine: chips, placements, plans and the engines that play them."""
