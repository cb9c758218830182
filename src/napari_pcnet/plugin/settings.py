"""What is set under Preferences, PCNet superpixels; the defaults stand in the manifest, too."""

from __future__ import annotations

from dataclasses import dataclass, fields

from napari.settings import get_plugin_settings

from napari_pcnet.record import RunRecord

PLUGIN = "napari-pcnet"


@dataclass(frozen=True)
class Settings:
    """Preferences; each field is a property of the configuration ``superpixels`` in the manifest."""

    n_segments: int = 1000
    compactness: float = RunRecord.compactness
    device: str = RunRecord.device
    live_preview: bool = False
    editable_megapixels: float = 2.0
    memory_share: float = 0.5


def read_settings() -> Settings:
    """Return what the user has set; the defaults where napari does not know the plugin."""
    try:
        chosen = get_plugin_settings(PLUGIN).superpixels
    except KeyError:  # used without its manifest, in a test or a script
        return Settings()
    return Settings(**{each.name: getattr(chosen, each.name) for each in fields(Settings)})
