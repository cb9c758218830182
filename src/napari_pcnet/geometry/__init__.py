"""Where things are: lattice, windows, the picture as it is read; no torch."""
