"""Regions as polygons: areas are pixels, borders are shared; GeoJSON for QuPath, GeoPackage for maps."""

import json
import sys
import uuid
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array as da
import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import shapely.geometry
from numpy.testing import assert_allclose
from rasterio.transform import Affine

from napari_pcnet import read_image, read_labels, write_labels, write_polygons, write_table
from napari_pcnet.cli import main
from napari_pcnet.disk import polygons as traced
from napari_pcnet.disk.placement import GeoReference, Placement
from napari_pcnet.disk.polygons import as_shapes, polygons_of, simplified


def _drawn() -> np.ndarray[Any, Any]:
    """Labels with gaps in their numbers: a hole, a hole that touches the outside, two pieces, a frame."""
    labels = np.full((40, 50), 2, np.int32)
    labels[5:35, 5:30] = 7
    labels[10:15, 10:20] = 70_000
    labels[20:25, 10:14] = 0
    labels[30:35, 25:30] = 0
    labels[29, 24] = 0  # meets it in a corner
    labels[5:20, 30:45] = 9
    labels[20:30, 30:45] = labels[37:40, 2:6] = 11
    labels[24, 36:40] = 9
    return labels


LABELS = _drawn()
TABLE = {
    "label": np.array([7, 9, 11, 4]),
    "class": np.array(["Tumour", "Stroma", "", "Stroma"]),
    "area": np.array([1.5, 2.0, np.nan, 3.0]),
}


def _edges(shape: Any) -> Counter[frozenset[tuple[float, float]]]:
    """Straight runs between neighbouring vertices of all rings."""
    rings = [ring for part in shape.geoms for ring in (part.exterior, *part.interiors)]
    lines = [list(ring.coords) for ring in rings]
    return Counter(frozenset(pair) for line in lines for pair in pairwise(line))


def _read(path: str | Path) -> list[dict[str, Any]]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    assert list(content) == ["type", "features"]
    assert content["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = content["features"]
    return features


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_polygons_cover_their_pixels_and_no_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traced, "PIECES_AT_ONCE", at_once)
    names, pieces = polygons_of(LABELS)
    assert names == [2, 7, 9, 11, 70_000]
    for name, polygons in zip(names, pieces, strict=True):
        shape = shapely.MultiPolygon([(outline, holes) for outline, *holes in polygons])
        assert shape.is_valid
        assert shape.area == (name == LABELS).sum()
        rows, columns = np.indices(LABELS.shape)
        inside = shapely.contains_xy(shape, columns + 0.5, rows + 0.5)
        assert (inside == (name == LABELS)).all()


def test_neighbours_have_the_same_vertices_along_their_common_border() -> None:
    labels = np.random.default_rng(1).integers(1, 6, (12, 15)).repeat(3, axis=0).repeat(2, axis=1)
    _, pieces = polygons_of(labels)
    shapes = [shapely.MultiPolygon([(first, rest) for first, *rest in each]) for each in pieces]
    assert shapely.coverage_is_valid(shapes)
    edges = sum(map(_edges, shapes), Counter())
    height, width = labels.shape
    for edge, count in edges.items():
        (x, y), (other_x, other_y) = edge
        on_frame = (x == other_x and x in (0, width)) or (y == other_y and y in (0, height))
        assert count == (1 if on_frame else 2)


def test_a_vertex_stands_only_where_an_outline_turns_or_regions_meet() -> None:
    labels = np.repeat([[1, 1, 2, 2]], 6, axis=0)
    labels[4:, 2:] = 3
    names, pieces = polygons_of(labels)
    assert names == [1, 2, 3]
    assert {tuple(vertex) for vertex in pieces[0][0][0].tolist()} == {(0, 0), (2, 0), (2, 4), (2, 6), (0, 6)}


def test_simplified_polygons_keep_their_borders_common(tmp_path: Path) -> None:
    rows, columns = np.indices((60, 70))
    labels = 1 + (rows + columns > 60) + 2 * ((rows - 30) ** 2 + (columns - 30) ** 2 < 20**2)
    _, pieces = polygons_of(labels)
    shapes = as_shapes(simplified(pieces, 1.5, labels.shape))
    assert shapely.coverage_is_valid(shapes)
    assert shapely.union_all(shapes).equals(shapely.box(0, 0, 70, 60))  # its corners, too
    assert sum(map(shapely.get_num_coordinates, shapes)) < 0.5 * sum(
        map(shapely.get_num_coordinates, as_shapes(pieces))
    )
    write_polygons(tmp_path / "out.geojson", labels, simplify=1.5)
    found = [shapely.geometry.shape(feature["geometry"]) for feature in _read(tmp_path / "out.geojson")]
    assert all(one.equals(other) for one, other in zip(found, shapes, strict=True))


def test_geojson_has_the_members_of_the_standard_and_of_qupath(tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    assert write_polygons(path, LABELS, TABLE, class_colours={"Tumour": (200, 0, 0)}) == 5
    features = {feature["properties"]["name"]: feature for feature in _read(path)}
    assert list(features) == ["2", "7", "9", "11", "70000"]
    for name, feature in features.items():
        assert list(feature) == ["type", "id", "geometry", "properties"]
        assert feature["type"] == "Feature"
        assert feature["properties"]["objectType"] == "annotation"
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area == (int(name) == LABELS).sum()
        parts = getattr(geometry, "geoms", [geometry])
        assert len(parts) == (2 if name in ("9", "11") else 1)
        for part in parts:
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)
    assert features["7"]["properties"]["classification"] == {"name": "Tumour", "color": [200, 0, 0]}
    assert features["9"]["properties"]["classification"] == {"name": "Stroma", "color": [230, 159, 0]}
    assert "classification" not in features["11"]["properties"]
    assert features["9"]["properties"]["measurements"] == {"area": 2.0}
    assert features["11"]["properties"]["measurements"] == {}
    assert features["2"]["properties"] == {"objectType": "annotation", "name": "2"}


def test_each_region_of_a_geojson_has_an_id_of_its_own_that_stays(tmp_path: Path) -> None:
    for name, labels in (("a", LABELS), ("b", LABELS), ("c", LABELS[:, :-1])):
        write_polygons(tmp_path / f"{name}.geojson", labels)
    ids = {name: [feature["id"] for feature in _read(tmp_path / f"{name}.geojson")] for name in "abc"}
    assert all(str(uuid.UUID(each)) == each for each in ids["a"])
    assert len(set(ids["a"])) == 5 and ids["a"] == ids["b"]
    assert ids["a"][0] != ids["c"][0] and ids["a"][1:] == ids["c"][1:]  # the first one alone is another


@pytest.mark.parametrize("background", [0, None])
def test_a_simplification_keeps_the_corners_of_the_picture(background: int | None) -> None:
    labels = np.zeros((30, 40), int)
    labels[:4, :5] = 1
    labels[25:, 30:] = 2
    labels[10:20, 10:20] = 3
    shape = labels.shape
    _, pieces = polygons_of(labels, background)
    shapes = as_shapes(simplified(pieces, 8, shape))
    corners = {(0, 0), (40, 30)} if background == 0 else {(0, 0), (40, 0), (40, 30), (0, 30)}
    found = {vertex for each in shapes for part in each.geoms for vertex in part.exterior.coords}
    assert found >= corners
    assert sum(map(shapely.get_num_coordinates, shapes)) < sum(
        map(shapely.get_num_coordinates, as_shapes(pieces))
    )


def test_of_a_part_geojson_lies_in_the_whole_picture(tmp_path: Path) -> None:
    write_polygons(tmp_path / "out.json", LABELS, origin=(1000, 300), object_type="detection")
    features = _read(tmp_path / "out.json")
    assert {feature["properties"]["objectType"] for feature in features} == {"detection"}
    hull = shapely.union_all([shapely.geometry.shape(feature["geometry"]) for feature in features])
    assert hull.bounds == (300, 1000, 350, 1040)


@pytest.mark.parametrize("kind", ["north up", "rotated", "rotated, by middles of pixels"])
def test_a_geopackage_lies_where_the_labels_lie(kind: str, tmp_path: Path) -> None:
    transform = Affine(0.25, 0, 500_000.125, 0, -0.25, 4_649_776.0)
    if kind != "north up":
        transform @= Affine.rotation(30)
    with rasterio.open(
        tmp_path / "map.tif", "w", "GTiff", 50, 40, 1, "EPSG:32633", transform, "uint16"
    ) as file:
        file.write((LABELS % 60_000).astype(np.uint16), 1)
        file.update_tags(AREA_OR_POINT="Point" if "middles" in kind else "Area")
    labels, placement = read_labels(tmp_path / "map.tif"), read_image(tmp_path / "map.tif").placement
    table = {"label": np.array([7, 9]), "class": np.array(["Roof", "Road"]), "x": np.array([1, 2])}
    write_polygons(tmp_path / "out.gpkg", labels, table, placement=placement)
    frame = geopandas.read_file(tmp_path / "out.gpkg")
    assert frame.crs.to_epsg() == 32633
    assert list(frame.columns) == ["label", "class", "x", "geometry"]
    assert frame["label"].tolist() == [2, 7, 9, 11, 10_000]
    assert frame["class"].tolist()[1:3] == ["Roof", "Road"]
    assert frame["class"].isna().tolist() == [True, False, False, True, True]
    assert frame["x"].tolist()[1:3] == [1, 2]
    pixels = [(labels == label).sum() for label in frame["label"]]
    assert_allclose(frame.area, np.array(pixels) * 0.25**2, rtol=1e-7)
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    with rasterio.open(tmp_path / "map.tif") as file:
        corners = [file.transform @ corner for corner in ((0, 0), (50, 0), (50, 40), (0, 40))]
    bounds = [*np.min(corners, axis=0), *np.max(corners, axis=0)]
    assert_allclose(frame.union_all().bounds, bounds, rtol=0, atol=1e-6)  # a pixel is 0.25


def test_labels_that_lie_nowhere_are_upright_on_a_map(tmp_path: Path) -> None:
    write_polygons(tmp_path / "out.gpkg", LABELS)
    frame = geopandas.read_file(tmp_path / "out.gpkg")
    assert frame.crs.is_engineering
    assert tuple(frame.total_bounds) == (0, -40, 50, 0)


def test_a_map_that_names_no_system_is_none_of_pixels(tmp_path: Path) -> None:
    placement = Placement(geo=GeoReference((2.0, 0.0, 500.0, 0.0, -2.0, 900.0)))
    write_polygons(tmp_path / "out.gpkg", LABELS, placement=placement)
    frame = geopandas.read_file(tmp_path / "out.gpkg")
    assert frame.crs.name == "Unnamed map"
    assert tuple(frame.total_bounds) == (500, 820, 600, 900)


def test_labels_are_any_plane_of_whole_numbers(tmp_path: Path) -> None:
    expected = tmp_path / "expected.geojson"
    write_polygons(expected, LABELS)
    for at, labels in enumerate([LABELS.tolist(), da.from_array(LABELS, chunks=16), LABELS.astype(">i8")]):
        write_polygons(tmp_path / f"{at}.geojson", labels)
        assert (tmp_path / f"{at}.geojson").read_bytes() == expected.read_bytes()
    assert write_polygons(tmp_path / "mask.geojson", LABELS > 7) == 1


def test_of_no_region_the_files_have_none(tmp_path: Path) -> None:
    table = {"label": np.array([1]), "class": np.array(["Roof"])}
    for name in ("out.geojson", "out.gpkg"):
        assert write_polygons(tmp_path / name, np.zeros((3, 4), int), table, simplify=1) == 0
    assert _read(tmp_path / "out.geojson") == []
    assert len(geopandas.read_file(tmp_path / "out.gpkg")) == 0


def test_a_class_is_what_its_cell_says_and_none_where_there_is_no_name(tmp_path: Path) -> None:
    labels = np.array([[1, 2, 3]])

    def classes(**columns: Any) -> list[str | None]:
        write_polygons(tmp_path / "out.geojson", labels, {"label": labels[0], **columns}, overwrite=True)
        kinds = [each["properties"].get("classification") for each in _read(tmp_path / "out.geojson")]
        return [kind and kind["name"] for kind in kinds]

    assert classes(**{"class": np.array(["a: b", None, np.nan], object)}) == ["a: b", None, None]
    assert classes(**{"class": np.array([1.0, np.nan, 2.5])}) == ["1", None, "2.5"]
    assert classes(**{"class": pd.array(["a", pd.NA, "b"])}) == ["a", None, "b"]
    assert classes(**{"class": np.array([3, 1, 2])}) == ["3", "1", "2"]


def test_more_classes_than_colours_that_everyone_tells_apart_differ_all_the_same(tmp_path: Path) -> None:
    labels = np.arange(1, 31)[None]
    table = {"label": labels[0], "class": np.array([f"class {label}" for label in labels[0]])}
    chosen = {"class 3": np.array([1, 2, 3])}
    write_polygons(tmp_path / "out.geojson", labels, table, class_colours=chosen)
    kinds = [each["properties"]["classification"] for each in _read(tmp_path / "out.geojson")]
    assert len({tuple(kind["color"]) for kind in kinds}) == 30
    assert kinds[2]["color"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("ending", "labels", "options", "sentence"),
    [
        ("geojson", 3, {}, "labels must be one plane of integers, got one value of int64"),
        ("geojson", LABELS[:0], {}, "labels must be one plane of integers, got 0 x 50 of int32"),
        (
            "geojson",
            np.ma.masked_equal(LABELS, 7),
            {},
            "labels are a masked array: pass labels.filled(0), or another background",
        ),
        (
            "gpkg",
            LABELS.astype(np.uint64) + np.uint64(2**63),
            {},
            "labels of a GeoPackage must be at most 9223372036854775807, got 9223372036854845808",
        ),
        ("geojson", LABELS, {"background": "sky"}, "background must be a label or None, got 'sky'"),
        ("geojson", LABELS, {"origin": (1,)}, "origin must be two whole numbers, row and column, got (1,)"),
        (
            "geojson",
            LABELS,
            {"class_colours": {"Roof": (0.5, 0, 0)}},
            "colour of Roof must be three whole numbers, 0 to 255, got (0.5, 0, 0)",
        ),
        (
            "geojson",
            LABELS,
            {"table": {"label": np.array([1.0])}},
            "table must have a column of whole numbers, label, got float64",
        ),
        (
            "geojson",
            LABELS,
            {"table": {"label": np.array([7]), "area": np.ma.masked_equal([1], 1)}},
            "column 'area' is a masked array: fill it, such as with NaN",
        ),
        *(
            (
                "gpkg",
                LABELS,
                {"table": {"label": np.array([7]), "area": np.array([1]), name: np.array([2])}},
                f"table has a column {name!r}, but a GeoPackage has that name; choose another",
            )
            for name in ("fid", "Geom", "geometry", "AREA")
        ),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(
    ending: str, labels: Any, options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole sentence is compared
        write_polygons(tmp_path / f"out.{ending}", labels, **options)
    assert str(refused.value) == sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"class_colours": 5}, "class_colours must map names of classes to colours, got 5"),
        ({"table": 5}, "a table must map names to columns, as region_table does, got 5"),
    ],
)
def test_what_has_no_names_is_refused(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        write_polygons(tmp_path / "out.geojson", LABELS, **options)
    assert not list(tmp_path.iterdir())


def test_a_colour_of_a_class_that_no_region_has_is_passed_over(tmp_path: Path) -> None:
    chosen = {"Tumour": (200, 0, 0)}
    write_polygons(tmp_path / "a.geojson", LABELS, TABLE, class_colours=chosen)
    write_polygons(tmp_path / "b.geojson", LABELS, TABLE, class_colours=chosen | {"Lake": (0, 0, 200)})
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with labels and a table in it."""
    monkeypatch.chdir(tmp_path)
    write_labels("labels.tif", LABELS)
    write_table("table.csv", TABLE)
    return tmp_path


def test_the_command_writes_what_the_library_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--table", "table.csv", "--class-colours", "Tumour=#c80000", "--origin", "10", "20"]
    assert main(["export", "labels.tif", "out.geojson", *words]) == 0
    assert capsys.readouterr().out == "out.geojson: 5 regions, 2 of them without a row in the table\n"
    colours = {"Tumour": (200, 0, 0)}
    write_polygons("expected.geojson", LABELS, TABLE, class_colours=colours, origin=(10, 20))
    assert Path("out.geojson").read_bytes() == Path("expected.geojson").read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["labels.tif", "out.shp"], "output out.shp must end in .geojson, .json or .gpkg"),
        (["none.tif", "out.gpkg"], "labels file none.tif does not exist"),
        (["labels.tif", "out.gpkg", "--table", "none.csv"], "table none.csv does not exist"),
        (
            ["labels.tif", "out.gpkg", "--table", "areas.csv"],
            "--table must have a column of whole numbers, label, got area",
        ),
        (
            ["labels.tif", "out.gpkg", "--class-colours", "Tumour=red"],
            "--class-colours must be NAME=#rrggbb, got 'Tumour=red'",
        ),
        (["stack.tif", "out.gpkg"], "labels must be one plane of integers, got 2 x 40 x 50 of uint16"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    folder: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table("areas.csv", {"area": np.array([1, 2])})
    write_labels("stack.tif", np.stack([LABELS, LABELS]) % 60_000)
    assert main(["export", *words]) == 2
    assert capsys.readouterr().err == f"napari-pcnet: {sentence}\n"
    assert not Path(words[1]).exists()


def test_a_file_that_exists_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.gpkg").write_text("mine")
    assert main(["export", "labels.tif", "out.gpkg"]) == 2
    assert capsys.readouterr().err == "napari-pcnet: output out.gpkg exists; pass --overwrite to replace it\n"
    assert Path("out.gpkg").read_text() == "mine"
    assert main(["export", "labels.tif", "out.gpkg", "--overwrite"]) == 0
    assert len(geopandas.read_file("out.gpkg")) == 5


def test_without_the_extra_one_sentence_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rasterio.features", None)
    assert main(["export", "labels.tif", "out.geojson"]) == 2
    message = "napari-pcnet: rasterio.features is not installed; pip install 'napari-pcnet[export]'\n"
    assert capsys.readouterr().err == message
    assert not Path("out.geojson").exists()
