"""Preferences of the plugin, set under Preferences, PCNet superpixels; the manifest repeats the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from napari.settings import get_plugin_settings

from napari_pcnet.options import Options

PLUGIN = "napari-pcnet"


def form_options() -> dict[str, Field[Any]]:
    """Declarations of the options that the form shows, by name; each of them is a preference, too."""
    return {each.name: each for each in fields(Options) if each.metadata["form"] is not None}


def _default_options() -> dict[str, float]:
    return {name: getattr(Options(), name) for name in form_options()}


@dataclass(frozen=True)
class Settings:
    """Preferences, each a property of the configuration ``superpixels`` in the manifest.

    Attributes
    ----------
    options : mapping of str to float
        What the form begins with, for each option of merging; its name is the property's.
    """

    n_segments: int = 1000
    options: Mapping[str, float] = field(default_factory=_default_options)
    device: str = Options.device
    live_preview: bool = False
    editable_megapixels: float = 2.0
    memory_share: float = 0.5

    @property
    def editable_px(self) -> int:
        """Largest result that can be painted on, in pixels."""
        return int(self.editable_megapixels * 2**20)


def read_settings() -> Settings:
    """Return the user's preferences; the defaults where napari does not know the plugin."""
    try:
        chosen = get_plugin_settings(PLUGIN).superpixels
    except KeyError:  # used without its manifest, in a test or a script
        return Settings()
    own = [each.name for each in fields(Settings) if each.name != "options"]
    options = {name: float(getattr(chosen, name)) for name in form_options()}
    return Settings(options=options, **{name: getattr(chosen, name) for name in own})
