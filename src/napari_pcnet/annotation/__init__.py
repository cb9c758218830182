"""Annotation: superpixels of a tree become classes or objects, stroke by stroke."""
