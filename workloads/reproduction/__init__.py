"""The evaluation of the HyFlexPIM paper made again from mechanisms, figure by figure."""
