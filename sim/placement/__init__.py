"""Which weight lies where, and what waits in memory."""
