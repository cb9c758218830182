"""The progress display: a bar in a terminal, a line a minute in a log, and the right time left in both."""

import io
import sys
from collections.abc import Callable

import pytest

from napari_pcnet.cli.progress import ProgressDisplay

At = Callable[[float], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Sets the display's clock, in seconds."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return lambda seconds: now.__setitem__(0, seconds)


def _terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Put a terminal in the place of stderr; pytest itself does so before each phase of a test."""
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]  # all that makes it a terminal
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def _log_of(at: At, calls: list[tuple[float, int, int]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a log, of calls at these times."""
    with ProgressDisplay(" strips") as progress:
        for seconds, done, total in calls:
            at(seconds)
            progress(done, total)
    return capsys.readouterr().err.splitlines()


def test_a_log_has_a_line_a_minute(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [(10.0 * step, step, 100) for step in range(14)]
    assert [line.split(",")[0] for line in _log_of(at, calls, capsys)] == [
        "6 of 100 strips",
        "12 of 100 strips",
    ]


@pytest.mark.parametrize(
    ("calls", "line"),
    [
        ([(0, 0, 10), (60, 2, 10)], "2 of 10 strips, 04:00 left"),
        ([(0, 2, 10), (60, 4, 10)], "4 of 10 strips, 03:00 left"),  # what was there took no time
        ([(0, 0, 10), (60, 5, 10), (180, 6, 10)], "6 of 10 strips, 02:00 left"),  # the mean speed
        ([(0, 0, 10), (60, 5, 20)], "5 of 20 strips, 03:00 left"),  # the work has grown
        ([(0, 0, 300), (7200, 100, 300)], "100 of 300 strips, 4:00:00 left"),
    ],
)
def test_the_time_left_is_that_of_the_work_left_at_the_mean_speed_so_far(
    at: At, calls: list[tuple[float, int, int]], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in _log_of(at, calls, capsys)


def test_what_takes_less_than_a_minute_leaves_no_line_in_a_log(
    at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _log_of(at, [(0, 0, 2), (30, 1, 2), (59, 2, 2)], capsys) == []


def test_a_name_and_a_note_stand_around_the_numbers(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(" steps", "training") as progress:
        progress(0, 4)
        at(60)
        progress(2, 4, "loss=0.5000")
    assert capsys.readouterr().err == "training: 2 of 4 steps, 01:00 left, loss=0.5000\n"


def test_bytes_are_shown_in_their_multiples(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay("B", "pcnet") as progress:
        progress(0, 9_000_000)
        at(60)
        progress(6_000_000, 9_000_000)
    assert capsys.readouterr().err == "pcnet: 6.00M of 9.00MB, 00:30 left\n"


def test_a_terminal_has_one_line_that_is_drawn_anew(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with ProgressDisplay(" strips") as progress:
        for step in range(5):
            at(30.0 * step)
            progress(step, 4)
    drawn = terminal.getvalue()
    assert drawn.count("\n") == 1
    assert drawn.endswith("\n")
    assert [text.split("|")[-1].split(", ")[0] for text in drawn.split("\r")[1:-1]] == [
        " 0/4 [00:00<?",
        " 1/4 [00:30<01:30",
        " 2/4 [01:00<01:00",
        " 3/4 [01:30<00:30",
        " 4/4 [02:00<00:00",
    ]


def test_a_failure_ends_the_line(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)

    def fail() -> None:
        with ProgressDisplay(" strips") as progress:
            progress(1, 4)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert terminal.getvalue().endswith("\n")


def test_nothing_is_drawn_before_the_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with ProgressDisplay(" strips"):
        pass
    assert terminal.getvalue() == ""


def test_work_that_turns_up_after_the_end_has_a_line_of_its_own(
    at: At, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [(0, 0, 2), (60, 2, 2), (70, 3, 6), (130, 5, 6)]
    assert _log_of(at, calls, capsys)[-1] == "5 of 6 strips, 00:30 left"


def test_a_download_that_begins_anew_counts_from_there(at: At, capsys: pytest.CaptureFixture[str]) -> None:
    assert _log_of(at, [(0, 0, 8), (20, 6, 8), (30, 0, 8), (90, 6, 8)], capsys)[-1] == (
        "6 of 8 strips, 00:30 left"
    )
