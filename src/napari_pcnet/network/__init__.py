"""The network: its association with cells, its layers, running it window by window, its files."""
