"""Learning: features of regions, and a random forest that goes from some classes to all."""
