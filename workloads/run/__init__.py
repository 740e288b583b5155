"""A scenario played: from model to plan, through the engine, into a run directory."""
