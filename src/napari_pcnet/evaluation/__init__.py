"""The judge: superpixel methods under one signature, held against annotations and against a clock."""
