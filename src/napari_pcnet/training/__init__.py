"""Algorithm 1: samples, losses, and the loop that takes the steps."""
