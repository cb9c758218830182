"""Progress of a benchmark, whose amount of work grows when more requests turn out to be needed."""

from __future__ import annotations

from napari_pcnet.progress import Progress


class Tally:
    """Steps done, out of those known to be needed."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def expect(self, more: int) -> None:
        """Add steps to those needed."""
        self._total += more

    def skip(self) -> None:
        """Take a step off that needs no work, as its result is there: the time left stays right."""
        self._total -= 1

    def step(self) -> None:
        """Count one step as done and report it."""
        self._done += 1
        self._progress(self._done, self._total)
