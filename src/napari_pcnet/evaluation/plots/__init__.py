"""The figures of a benchmark, as PNG files that say in their metadata how they were made."""
