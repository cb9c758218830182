"""The benchmarks as a surface calls them: each takes its options and returns its table as text."""

from napari_pcnet.evaluation.contract import ContractOptions, main_contract
from napari_pcnet.evaluation.cost import CostOptions, main_cost
from napari_pcnet.evaluation.quality import QualityOptions, main_quality

__all__ = ["ContractOptions", "CostOptions", "QualityOptions", "main_contract", "main_cost", "main_quality"]
