"""Published layouts, drawn small in a folder of the same shape."""

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from napari_pcnet.disk.annotations import Annotation
from napari_pcnet.disk.datasets import LAYOUTS, Pair, read_pairs

LEFT = np.repeat([[1, 1, 2, 2, 2]], 4, axis=0).astype(np.uint8)
TOP = np.repeat([[3], [3], [3], [7]], 5, axis=1).astype(np.uint8)
"""Two annotations of a picture of 4 x 5 pixels."""


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def photograph(path, shape=LEFT.shape):
    rng = np.random.default_rng(3)
    return write(path, rng.integers(0, 256, (*shape, 3), dtype=np.uint8))


def bsds_mat(path, *segmentations):
    """Write a cell array of structs, as MATLAB does."""
    cells = np.empty((1, len(segmentations)), object)
    for index, each in enumerate(segmentations):
        boundaries = np.zeros(each.shape, bool)
        cells[0, index] = {"Segmentation": each.astype(np.uint16), "Boundaries": boundaries}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"groundTruth": cells}, do_compression=True)
    return path


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def check(pairs, *expected):
    """Compare names, counts of annotations and their pixels."""
    assert [pair.name for pair in pairs] == [name for name, *_ in expected]
    for pair, (_, *truths) in zip(pairs, expected, strict=True):
        assert len(pair.annotations) == len(truths)
        for read, truth in zip(pair.read_annotations(), truths, strict=True):
            assert read.dtype.kind in "iu"
            assert np.array_equal(read, truth)
        assert pair.read_image().shape == (*truths[0].shape, 3)


# ------------------------------------------------------------------------------------- the pair


def test_of_four_channels_the_first_three_are_the_image(tmp_path):
    four = np.dstack([LEFT * 10, LEFT * 20, LEFT * 30, TOP])
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(Pair("a", tmp_path / "a.tif", ()).read_image(), four[..., :3])


def test_sizes_that_differ_are_refused_with_both_files(tmp_path):
    image = photograph(tmp_path / "images" / "a.png", (6, 5))
    labels = write(tmp_path / "labels" / "a.png", LEFT)
    message = f"{labels} is 4 x 5 pixels, but its image {image} is 6 x 5; they must be the same"
    (pair,) = read_pairs(tmp_path)
    with refuses(ValueError, message):
        pair.read_annotations()


def test_an_image_is_decoded_once_for_its_pixels_and_its_size(tmp_path):
    photograph(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.png", LEFT)
    (pair,) = read_pairs(tmp_path)
    pair.read_image()
    (tmp_path / "images" / "a.png").unlink()
    assert np.array_equal(pair.read_annotations()[0], LEFT)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_an_image_of_another_type_is_stretched_to_8_bits(tmp_path, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[1000, 1001], [1002, 1005]], dtype))
    assert Pair("a", path, ()).read_image()[..., 2].tolist() == [[0, 51], [102, 255]]


def test_many_channels_become_their_mean(tmp_path):
    path = tmp_path / "a.tif"
    channels = np.stack([np.full((40, 50), value, np.uint8) for value in (10, 30, 20, 50, 40)])
    tifffile.imwrite(path, channels, metadata={"axes": "CYX"}, ome=True)
    assert (Pair("a", path, ()).read_image() == 30).all()


def test_grey_is_repeated_and_channels_in_front_are_moved_behind(tmp_path):
    grey = Pair("a", write(tmp_path / "a.png", LEFT), ())
    assert np.array_equal(grey.read_image(), np.stack([LEFT] * 3, axis=-1))
    planar = tmp_path / "b.tif"
    colours = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    tifffile.imwrite(planar, colours, photometric="rgb", planarconfig="separate")
    assert np.array_equal(Pair("b", planar, ()).read_image(), colours.transpose(1, 2, 0))


def test_a_pair_may_be_a_key_and_be_sent_to_another_process(tmp_path):
    pair = Pair("a", tmp_path / "a.png", (Annotation(tmp_path / "a.mat", 1, "cell"),))
    assert {pickle.loads(pickle.dumps(pair)): 1}[pair] == 1


# ------------------------------------------------------------------------------------- detection


def test_an_unknown_layout_is_refused(tmp_path):
    names = "mapillary, plain, face-human, bsds500, nyuv2, big"
    assert ", ".join(LAYOUTS) == names
    with refuses(ValueError, f"layout must be auto or one of {names}, got 'coco'"):
        read_pairs(tmp_path, "coco")


def test_a_folder_of_no_layout_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "images").mkdir()
    message = (
        f"{tmp_path} must hold images/ and labels/, and {tmp_path / 'labels'} is not there; "
        "nor is it laid out as a data set of mapillary, face-human, bsds500, nyuv2, big"
    )
    with refuses(FileNotFoundError, message):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("layout", "looked_for"),
    [
        ("plain", "{0}/images/test/labels"),
        ("bsds500", "{0}/csv_groundTruth/test, {0}/groundTruth/test"),
        (
            "nyuv2",
            "{0}/images/test/nyu_depth_v2_labeled.mat, {0}/images/nyu_depth_v2_labeled.mat, "
            "{0}/csv_groundTruth/test, {0}/groundTruth/test",
        ),
        ("face-human", "{0}/images/test_FaceHuman.txt"),
        (
            "mapillary",
            "{0}/images/test/v1.2/instances, {0}/images/test/v1.2/labels, "
            "{0}/images/test/v2.0/instances, {0}/images/test/v2.0/labels",
        ),
        ("big", "{0}/images/test/*_gt.png"),
    ],
)
def test_a_split_of_another_layout_than_insisted_on_is_refused(tmp_path, layout, looked_for):
    split = tmp_path / "images" / "test"
    photograph(split / "a.jpg")
    message = f"{split} is no split of {layout}: looked for {looked_for.format(tmp_path)}, found none"
    with refuses(FileNotFoundError, message.replace("/", str(Path("/")))):
        read_pairs(split, layout)


def test_a_split_may_be_named_from_within(tmp_path, monkeypatch):
    photograph(tmp_path / "data" / "images" / "val" / "8.jpg")
    bsds_mat(tmp_path / "data" / "groundTruth" / "val" / "8.mat", LEFT)
    monkeypatch.chdir(tmp_path / "data" / "images" / "val")
    check(read_pairs(Path()), ("8", LEFT))


# ----------------------------------------------------------------------------------------- plain


def test_plain_labels_may_be_tif_and_names_may_hold_dashes(tmp_path):
    photograph(tmp_path / "images" / "a-1.JPG")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / "a-1-1.tif", LEFT.astype(np.int32) * 100_000)
    write(tmp_path / "labels" / "a-1-2.png", TOP)
    check(read_pairs(tmp_path, "plain"), ("a-1", LEFT * np.int32(100_000), TOP))


def test_labels_of_an_image_of_their_own_are_no_further_annotation(tmp_path):
    for name in ("img", "img-2"):
        photograph(tmp_path / "images" / f"{name}.png")
    write(tmp_path / "labels" / "img.png", LEFT)
    write(tmp_path / "labels" / "img-2.png", TOP)
    write(tmp_path / "labels" / "img-3.png", LEFT)
    check(read_pairs(tmp_path), ("img", LEFT, LEFT), ("img-2", TOP))


def test_two_images_of_one_name_are_refused(tmp_path):
    for ending in ("jpg", "png"):
        photograph(tmp_path / "images" / f"a.{ending}")
    write(tmp_path / "labels" / "a.png", LEFT)
    message = f"{tmp_path / 'images' / 'a.jpg'} and a.png have one name; rename one of them"
    with refuses(ValueError, message):
        read_pairs(tmp_path)


def test_a_split_without_an_image_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with refuses(FileNotFoundError, f"{tmp_path / 'images'} holds no image (.jpg, .jpeg, .png, .tif, .tiff)"):
        read_pairs(tmp_path)


# --------------------------------------------------------------------------- bsds500 and nyuv2


@pytest.fixture
def bsds(tmp_path):
    """``BSDS500/data`` with two images of a split."""
    data = tmp_path / "BSDS500" / "data"
    for name in ("2018", "10081"):
        photograph(data / "images" / "test" / f"{name}.jpg")
    return data


def test_bsds500_is_read_as_published(bsds):
    bsds_mat(bsds / "groundTruth" / "test" / "2018.mat", LEFT, TOP)
    bsds_mat(bsds / "groundTruth" / "test" / "10081.mat", TOP)
    check(read_pairs(bsds / "images" / "test"), ("10081", TOP), ("2018", LEFT, TOP))


def test_bsds500_may_have_pictures_for_annotations(bsds):
    write(bsds / "groundTruth" / "test" / "2018-0.png", LEFT)
    write(bsds / "groundTruth" / "test" / "2018-1.png", TOP)
    write(bsds / "groundTruth" / "test" / "10081.png", TOP)
    check(read_pairs(bsds / "images" / "test", "bsds500"), ("10081", TOP), ("2018", LEFT, TOP))


def test_an_image_of_bsds500_without_annotation_is_named(bsds):
    truth = bsds_mat(bsds / "groundTruth" / "test" / "2018.mat", LEFT)
    message = (
        f"{bsds / 'images' / 'test' / '10081.jpg'} has no labels: looked for "
        f"{truth.with_name('10081.mat')} and 10081-*.mat (or .csv, .png, .tif, .tiff)"
    )
    with refuses(FileNotFoundError, message):
        read_pairs(bsds / "images" / "test")


def test_tables_are_read_before_the_uncropped_mat_files_they_come_from(tmp_path):
    photograph(tmp_path / "images" / "test" / "00000009.png")
    bsds_mat(tmp_path / "groundTruth" / "test" / "00000009.mat", np.pad(LEFT, 1))
    (tmp_path / "csv_groundTruth" / "test").mkdir(parents=True)
    np.savetxt(tmp_path / "csv_groundTruth" / "test" / "00000009.csv", LEFT, fmt="%d", delimiter=",")
    for layout in ("auto", "nyuv2", "bsds500"):
        check(read_pairs(tmp_path / "images" / "test", layout), ("00000009", LEFT))


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2\n3,x\n")
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} cannot be read as a table of whole numbers"
    ):
        Annotation(path, kind="csv").read()


@pytest.mark.parametrize("content", [b"", b"no mat file" * 50, b"MATLAB 7.3 MAT-file".ljust(512, b"\0")])
def test_a_damaged_mat_file_is_refused_in_a_sentence(bsds, content):
    path = bsds_mat(bsds / "groundTruth" / "test" / "2018.mat", LEFT)
    bsds_mat(path.with_name("10081.mat"), TOP)
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} cannot be read as a MATLAB file with gr.*"
    ):
        read_pairs(bsds / "images" / "test")


def test_a_mat_file_of_something_else_is_refused(bsds):
    path = bsds_mat(bsds / "groundTruth" / "test" / "2018.mat", LEFT)
    savemat(path.with_name("10081.mat"), {"x": 1})
    message = f"{path.with_name('10081.mat')} cannot be read as a MATLAB file with groundTruth: 'groundTruth'"
    with refuses(ValueError, message):
        read_pairs(bsds / "images" / "test")


# ------------------------------------------------------------------------------- NYUv2's own file


@pytest.fixture
def nyu(tmp_path):
    """NYUv2's file with three images; HDF5 has MATLAB's axes backwards."""
    h5py = pytest.importorskip("h5py")
    images = np.arange(180, dtype=np.uint8).reshape(3, 3, 5, 4)
    classes = np.array([LEFT, TOP, LEFT * 0], np.uint16).transpose(0, 2, 1) * 100
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["labels"] = images, classes
        file["instances"] = np.array([TOP, LEFT, LEFT * 0], np.uint8).transpose(0, 2, 1)
    savemat(tmp_path / "splits.mat", {"trainNdxs": [[1], [3]], "testNdxs": [[2]]})
    return tmp_path


def test_objects_of_nyuv2_are_a_class_and_an_instance(nyu):
    first, second = LEFT.astype(int) * 25_600 + TOP, TOP.astype(int) * 25_600 + LEFT
    pairs = read_pairs(nyu)
    check(pairs, ("00000001", first), ("00000002", second), ("00000003", first * 0))
    assert pairs[1].read_image()[0, 1].tolist() == [64, 84, 104]


def test_nyuv2_is_split_as_its_authors_did(nyu):
    assert [pair.name for pair in read_pairs(nyu / "train")] == ["00000001", "00000003"]
    assert [pair.name for pair in read_pairs(nyu / "test")] == ["00000002"]
    with refuses(FileNotFoundError, f"the splits of NYUv2 are train and test, got {nyu / 'val'}"):
        read_pairs(nyu / "val")


def test_a_missing_split_of_nyuv2_is_named(nyu):
    (nyu / "splits.mat").unlink()
    message = f"{nyu / 'splits.mat'}, which lists the images of NYUv2 for test, is not there"
    with refuses(FileNotFoundError, message):
        read_pairs(nyu / "test")


def test_a_damaged_file_of_nyuv2_is_refused_in_a_sentence(tmp_path):
    pytest.importorskip("h5py")
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    path.write_bytes(b"nothing")
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} cannot be read as NYUv2's labelled set: .+"
    ):
        read_pairs(tmp_path)


def test_without_h5py_its_command_is_named(tmp_path, monkeypatch):
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with refuses(ValueError, f"{path} needs h5py, which is not installed; pip install h5py"):
        read_pairs(tmp_path)


# ------------------------------------------------------------------------------------ face-human


@pytest.fixture
def face_human(tmp_path):
    for kind, labels in (("face", LEFT), ("human", TOP)):
        photograph(tmp_path / kind / "1.jpg")
        write(tmp_path / kind / "1_label.png", labels)
    (tmp_path / "train_FaceHuman.txt").write_text("human/1.jpg\nface/1.jpg\n\n")
    (tmp_path / "test_FaceHuman_Mini.txt").write_text("face/1.jpg")
    return tmp_path


def test_face_human_is_read_by_its_lists(face_human):
    check(read_pairs(face_human / "train"), ("face/1", LEFT), ("human/1", TOP))
    check(read_pairs(face_human / "test_FaceHuman_Mini.txt"), ("face/1", LEFT))


def test_of_face_humans_labels_in_colours_the_blue_channel_counts(face_human):
    write(face_human / "face" / "1_label.png", np.stack([TOP, TOP, LEFT], axis=-1))
    check(read_pairs(face_human / "train", "face-human"), ("face/1", LEFT), ("human/1", TOP))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("1.jpg", "{0}/train_FaceHuman.txt names {0}/face/1.jpg, which is not there"),
        ("1_label.png", "{0}/face/1.jpg has no labels: looked for {0}/face/1_label.png"),
    ],
)
def test_what_a_list_of_face_human_names_must_be_there(face_human, missing, message):
    (face_human / "face" / missing).unlink()
    with refuses(FileNotFoundError, message.format(face_human).replace("/", str(Path("/")))):
        read_pairs(face_human / "train")


def test_an_empty_list_is_refused(face_human):
    path = face_human / "val_FaceHuman.txt"
    path.write_text("\n")
    with refuses(FileNotFoundError, f"{path} names no image"):
        read_pairs(face_human / "val")


# ------------------------------------------------------------------------------------- mapillary


def palette_png(path, indices):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(indices)
    picture.putpalette([7] * 768)  # all of one colour: only the indices differ
    assert picture.mode == "P"
    picture.save(path)


INSTANCES = LEFT.astype(np.uint16) * 256 + TOP


@pytest.mark.parametrize("version", ["v1.2", "v2.0", "."])
def test_mapillary_has_instances_or_else_the_indices_of_a_palette(tmp_path, version):
    split = tmp_path / "training"
    photograph(split / "images" / "-x_0.jpg")
    palette_png(split / version / "labels" / "-x_0.png", LEFT)
    check(read_pairs(split), ("-x_0", LEFT))
    write(split / version / "instances" / "-x_0.png", INSTANCES)
    check(read_pairs(split), ("-x_0", INSTANCES))


def test_the_classes_of_mapillarys_paper_come_first(tmp_path):
    split = tmp_path / "validation"
    photograph(split / "images" / "x.jpg")
    write(split / "v2.0" / "instances" / "x.png", INSTANCES)
    palette_png(split / "v1.2" / "labels" / "x.png", TOP)
    check(read_pairs(split), ("x", TOP))


# ------------------------------------------------------------------------------------------- BIG


def test_masks_of_big_are_one_inside_and_zero_outside(tmp_path):
    for name, ending in (("b_cat", "jpg"), ("a_dog", "png")):
        photograph(tmp_path / f"{name}_im.{ending}")
        write(tmp_path / f"{name}_seg.png", LEFT)
    soft = np.repeat([[0, 127, 128, 255, 255]], 4, axis=0).astype(np.uint8)
    inside = soft > 127
    write(tmp_path / "a_dog_gt.png", soft)
    write(tmp_path / "b_cat_gt.png", np.stack([soft] * 3, axis=-1))
    check(read_pairs(tmp_path), ("a_dog", inside), ("b_cat", inside))
    Image.fromarray(inside).convert("1").save(tmp_path / "a_dog_gt.png")
    check(read_pairs(tmp_path, "big")[:1], ("a_dog", inside))


def test_an_image_of_big_without_mask_is_named(tmp_path):
    write(tmp_path / "b_gt.png", LEFT)
    with refuses(FileNotFoundError, f"{tmp_path} holds no image of BIG: looked for {tmp_path / '*_im.jpg'}"):
        read_pairs(tmp_path)
    image = photograph(tmp_path / "a_im.jpg")
    with refuses(FileNotFoundError, f"{image} has no labels: looked for {tmp_path / 'a_gt.png'}"):
        read_pairs(tmp_path)
