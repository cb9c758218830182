"""The one progress display of all commands: a bar in a terminal, a line a minute in a log."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

LOG_EVERY_S = 60.0

_LOG_LINE = "{desc}{n_fmt} of {total_fmt}{unit}, {remaining} left{postfix}"


class ProgressDisplay:
    """Shows ``progress(done, total)`` on stderr, with the time left.

    The time left is that of the work left, at the mean speed since the first call. Nothing is drawn
    before that call, so a refusal stands on a line of its own. Used in a ``with`` statement, it ends
    its line there; work that goes on after ``done == total`` starts another line.

    Parameters
    ----------
    unit : str
        What is counted, as it stands after a number: ``" strips"``, or ``"B"`` for bytes.
    about : str
        What the work is, at the head of the line.
    """

    def __init__(self, unit: str, about: str = "") -> None:
        self._unit, self._about = unit, about
        self._bar: Any = None  # tqdm's, which has no types

    def __call__(self, done: float, total: int, note: str = "") -> None:
        """Show that `done` of `total` is done; `note` stands at the end of the line."""
        if sys.stderr is None:
            return
        if self._bar is None:
            self._bar = self._started_at(done, total)
        self._bar.total = total
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.n = round(done, 1)
        self._bar.last_print_n = min(
            self._bar.last_print_n, self._bar.n
        )  # work that begins anew is drawn, too
        self._bar.update(0)
        if done == total:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the line, if there is one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the line away while something else is printed, if there is one."""
        if self._bar is None:
            yield
            return
        with self._bar.external_write_mode(sys.stderr):
            yield

    def _started_at(self, done: float, total: int) -> Any:
        from tqdm import tqdm

        bar_options: dict[str, Any] = {"dynamic_ncols": True}
        if not sys.stderr.isatty():
            bar_options = {"file": _LineStream(), "bar_format": _LOG_LINE, "leave": False}
            bar_options |= {"mininterval": LOG_EVERY_S, "delay": LOG_EVERY_S}
        return tqdm(
            desc=self._about and f"{self._about}: ",
            initial=done,
            total=total,
            unit=self._unit,
            unit_scale=self._unit == "B",
            miniters=0,  # the clock alone says when to draw
            smoothing=0,  # the mean speed of all the work, which is uneven
            **bar_options,
        )


class _LineStream(io.TextIOBase):
    """Writes to stderr a line each time where tqdm would go back to the beginning of one."""

    def write(self, text: str) -> int:
        """Write what is not blank."""
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)
        return len(text)
