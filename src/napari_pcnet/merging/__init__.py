"""From pixels that chose a cell to superpixels: pieces, their table, the tree of merges, outlines."""
