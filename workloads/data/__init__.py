"""Files that come with hyflexsim: a sample of jets, the small ParT and its recipes (README.md)."""
