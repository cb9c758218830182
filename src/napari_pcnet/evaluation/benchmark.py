"""The benchmarks as a surface calls them: each takes its options and returns its table as text."""

from napari_pcnet.evaluation.contract import ContractOptions, main_contract
from napari_pcnet.evaluation.quality import QualityOptions, main_quality
from napari_pcnet.evaluation.scale import ScaleOptions, main_scale
from napari_pcnet.evaluation.seams import SeamsOptions, main_seams
from napari_pcnet.evaluation.speed import SpeedOptions, main_speed

__all__ = [
    "ContractOptions",
    "QualityOptions",
    "ScaleOptions",
    "SeamsOptions",
    "SpeedOptions",
    "main_contract",
    "main_quality",
    "main_scale",
    "main_seams",
    "main_speed",
]
