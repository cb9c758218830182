"""Importing the package, and asking the command line for help, stays light."""

import subprocess
import sys

HEAVY = (
    "torch",
    "napari",
    "qtpy",
    "PyQt6",
    "PySide6",
    "magicgui",
    "skimage",
    "scipy",
    "numba",
    "dask",
    "distributed",
    "tifffile",
    "zarr",
    "imagecodecs",
    "tqdm",
    "PIL",
    "pooch",
    "requests",
    "fsspec",
    "aiohttp",
)


def _loaded_by(code: str) -> list[str]:
    """Which of the heavy modules a fresh process holds after running `code`."""
    report = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded_by("import napari_pcnet") == []


def test_importing_the_package_does_not_even_load_numpy() -> None:
    assert _loaded_by("import napari_pcnet, sys; assert 'numpy' not in sys.modules") == []


def test_looking_at_the_names_of_the_package_loads_nothing_heavy() -> None:
    assert _loaded_by("import napari_pcnet; dir(napari_pcnet)") == []


def test_records_pictures_and_weights_load_nothing_heavy() -> None:
    code = (
        "from napari_pcnet import cli, record, weights\n"
        "from napari_pcnet.disk import datasets, labels, overlay, pictures"
    )
    assert _loaded_by(code) == []


def test_bundled_weights_are_found_without_what_downloads() -> None:
    code = "from napari_pcnet import weights\nweights.locate(weights.names()[0])"
    assert _loaded_by(code) == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "from napari_pcnet.cli import main\n"
        "try:\n    main(['segment', '--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0"
    )
    assert _loaded_by(code) == []


def test_the_public_functions_are_fetched_on_first_use() -> None:
    assert "torch" in _loaded_by("from napari_pcnet import pcnet_superpixels, pcnet_hierarchy")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    code = (
        "import napari_pcnet\n"
        "try:\n    napari_pcnet.slic\n"
        "except AttributeError as error:\n"
        "    assert str(error) == \"module 'napari_pcnet' has no attribute 'slic'\""
    )
    assert _loaded_by(code) == []
