"""From a placement to a plan: steps, components and what each token waits for."""
