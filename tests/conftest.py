"""What all tests share: an empty cache folder; the test command does not accept skipped viewer tests."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the weights that a user imported or downloaded from all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_PCNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "NAPARI_PCNET_REQUIRE_VIEWER" not in os.environ:
        return
    skipped = [each.nodeid for each in reporter.stats.get("skipped", ()) if "viewer" in each.nodeid]
    if skipped:
        reporter.write_line(f"viewer tests were skipped: {', '.join(skipped)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
