"""How fast hyflexsim is and how it compares: timings, growth, peers, numbers of the papers."""
