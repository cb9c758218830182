"""Superpixel methods compared: their quality against annotations, and their time and memory."""
