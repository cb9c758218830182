"""Regions as rows of a table and as nodes of a graph, measured window by window."""
