"""Models that take many chips: how many, and what they cost a token."""
