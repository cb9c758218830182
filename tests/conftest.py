"""What all tests share: the test command does not accept viewer tests that were skipped."""

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "NAPARI_PCNET_REQUIRE_VIEWER" not in os.environ:
        return
    skipped = [each.nodeid for each in reporter.stats.get("skipped", ()) if "viewer" in each.nodeid]
    if skipped:
        reporter.write_line(f"viewer tests were skipped: {', '.join(skipped)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
