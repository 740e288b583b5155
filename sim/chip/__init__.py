"""What a chip is: its parameters with their provenance, rules, areas and powers."""
