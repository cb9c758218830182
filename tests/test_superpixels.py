"""The call: counts, invariance, masks, pictures as people have them, refusals."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data, measure

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.metrics import achievable_segmentation_accuracy

N_EACH = [1, 2, 50, 100, 333, 1000]


def assert_superpixels(labels: np.ndarray, count: int) -> None:
    """Exactly labels 1..count, each one 4-connected piece, numbered by first pixel."""
    found, first = np.unique(labels[labels > 0], return_index=True)
    assert found.tolist() == list(range(1, count + 1))
    assert (np.diff(first) > 0).all()
    pieces, number = measure.label(labels, background=0, connectivity=1, return_num=True)
    assert number == count
    assert pieces.max() == count


def assert_nested(fine: np.ndarray, coarse: np.ndarray) -> None:
    pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(fine))


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return data.astronaut()[60:316, 100:420]


@pytest.fixture(scope="module")
def tree(photograph: np.ndarray) -> PCNetHierarchy:
    return pcnet_hierarchy(photograph, max_segments=1000)


@pytest.mark.parametrize("count", N_EACH)
def test_the_count_asked_for_is_the_count(tree: PCNetHierarchy, count: int) -> None:
    assert_superpixels(tree.labels(count), count)


def test_coarser_cuts_contain_finer_ones(tree: PCNetHierarchy) -> None:
    cuts = [tree.labels(count) for count in reversed(N_EACH)]
    for fine, coarse in pairwise(cuts):
        assert_nested(fine, coarse)


def test_the_call_is_a_cut_of_the_tree(photograph: np.ndarray) -> None:
    labels = pcnet_superpixels(photograph, 77)
    np.testing.assert_array_equal(labels, pcnet_hierarchy(photograph, max_segments=77).labels(77))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, pcnet_superpixels(photograph, 77))  # again, the same


def test_a_height_is_a_cut_too(tree: PCNetHierarchy) -> None:
    height = float(tree.heights[-50])
    assert int(tree.labels(height=height).max()) == tree.trees[0].count_at(height) <= 50
    assert int(tree.labels(height=np.inf).max()) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (17, 259)])
def test_slivers_have_every_count_up_to_a_sixteenth_of_their_pixels(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for count in {1, 2, max(1, shape[0] * shape[1] // 32), max(1, shape[0] * shape[1] // 16)}:
        if count <= max(1, shape[0] * shape[1] // 16):
            assert_superpixels(pcnet_superpixels(image, count), count)


@pytest.mark.parametrize("count", [2, 7, 50, 200])
def test_of_a_uniform_picture_nine_in_ten_pieces_differ_by_less_than_six(count: int) -> None:
    sizes = np.bincount(pcnet_superpixels(np.full((200, 317, 3), 90, np.uint8), count).ravel())[1:]
    small, large = np.percentile(sizes, [5, 95])
    assert large <= 6 * small


@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, ">i4", np.float32, np.float64])
def test_type_gain_and_offset_do_not_matter(photograph: np.ndarray, method: Any, dtype: Any) -> None:
    expected = pcnet_superpixels(photograph, 100, method=method)
    moved = (photograph.astype(np.int64) * 7 + 3).astype(dtype)
    np.testing.assert_array_equal(pcnet_superpixels(moved, 100, method=method), expected)


def test_the_lattice_comes_near_the_count(photograph: np.ndarray) -> None:
    labels = pcnet_superpixels(photograph, 200, method="lattice")
    count = int(labels.max())
    assert abs(count - 200) <= 20
    assert_superpixels(labels, count)


def test_windows_do_not_change_the_labels(photograph: np.ndarray) -> None:
    part = photograph[:150, :200]
    whole = pcnet_superpixels(part, 40, precision="float64", window=4096)
    tiled = pcnet_superpixels(part, 40, precision="float64", window=192)
    np.testing.assert_array_equal(tiled, whole)


class TestPicturesAsPeopleHaveThem:
    def test_grey(self, photograph: np.ndarray) -> None:
        grey = photograph[..., 0]
        labels = pcnet_superpixels(grey, 40, channel_axis=None)
        assert_superpixels(labels, 40)
        np.testing.assert_array_equal(labels, pcnet_superpixels(np.dstack([grey] * 3), 40))

    @pytest.mark.parametrize("channels", [1, 2, 5])
    def test_any_number_of_channels_first_or_last(self, photograph: np.ndarray, channels: int) -> None:
        many = np.concatenate([photograph, photograph[::-1]], axis=2)[..., :channels]
        last = pcnet_superpixels(many, 40)
        assert_superpixels(last, 40)
        first = pcnet_superpixels(np.moveaxis(many, 2, 0), 40, channel_axis=0)
        np.testing.assert_array_equal(first, last)

    def test_each_of_many_channels_counts_whatever_its_gain(self) -> None:
        dim = np.zeros((64, 64, 5))
        dim[:, :32, 4] = 1e-3  # the only difference there is
        dim[..., 0] = np.random.default_rng(0).random((64, 64)) * 1e-9
        labels = pcnet_superpixels(dim + 5, 2, intensity_range=None)
        assert_superpixels(labels, 2)

    def test_bool(self, photograph: np.ndarray) -> None:
        assert_superpixels(pcnet_superpixels(photograph[..., 0] > 99, 20, channel_axis=None), 20)

    def test_read_only_lists_and_non_contiguous(self, photograph: np.ndarray) -> None:
        frozen = photograph.copy()
        frozen.flags.writeable = False
        expected = pcnet_superpixels(frozen, 30)
        np.testing.assert_array_equal(pcnet_superpixels(np.asfortranarray(photograph), 30), expected)
        small = photograph[:20, :20]
        np.testing.assert_array_equal(
            pcnet_superpixels(small.astype(int).tolist(), 5), pcnet_superpixels(small, 5)
        )

    def test_alpha_zero_is_outside(self, photograph: np.ndarray) -> None:
        alpha = np.full((*photograph.shape[:2], 1), 255, np.uint8)
        rgba = np.concatenate([photograph, alpha], axis=2)
        np.testing.assert_array_equal(pcnet_superpixels(rgba, 30), pcnet_superpixels(photograph, 30))
        rgba[:100, :100, 3] = 0
        labels = pcnet_superpixels(rgba, 30)
        assert_superpixels(labels, 30)
        np.testing.assert_array_equal(labels == 0, rgba[..., 3] == 0)
        np.testing.assert_array_equal(pcnet_superpixels(rgba.astype(np.uint16) * 257, 30), labels)

    def test_four_measured_channels_come_first(self, photograph: np.ndarray) -> None:
        four = np.concatenate([photograph, 0 * photograph[..., :1]], axis=2)
        labels = pcnet_superpixels(np.moveaxis(four, 2, 0), 30, channel_axis=0)
        assert_superpixels(labels, 30)

    def test_what_a_masked_array_masks_is_outside(self, photograph: np.ndarray) -> None:
        masked = np.ma.masked_array(photograph, mask=np.zeros(photograph.shape, bool))
        masked[:50, :, 1] = np.ma.masked
        labels = pcnet_superpixels(masked, 30)
        assert_superpixels(labels, 30)
        assert (labels[:50] == 0).all()
        assert (labels[50:] > 0).all()

    def test_a_tensor_is_an_array(self, photograph: np.ndarray) -> None:
        small = photograph[:40, :40].copy()
        np.testing.assert_array_equal(
            pcnet_superpixels(torch.from_numpy(small), 9), pcnet_superpixels(small, 9)
        )

    def test_dask_and_zarr_give_the_labels_of_numpy(self, photograph: np.ndarray) -> None:
        dask_array = pytest.importorskip("dask.array")
        zarr = pytest.importorskip("zarr")
        part = photograph[:150, :200]
        expected = pcnet_superpixels(part, 20, window=256)
        lazy = dask_array.from_array(part, chunks=(100, 90, 3))
        np.testing.assert_array_equal(pcnet_superpixels(lazy, 20, window=256), expected)
        stored = zarr.array(part, chunks=(64, 64, 3))
        np.testing.assert_array_equal(pcnet_superpixels(stored, 20, window=256), expected)


class TestMask:
    def test_superpixels_lie_inside_and_are_counted_there(self, photograph: np.ndarray) -> None:
        y, x = np.indices(photograph.shape[:2])
        mask = (y - 128) ** 2 + (x - 160) ** 2 < 100**2
        labels = pcnet_superpixels(photograph, 60, mask=mask)
        assert_superpixels(labels, 60)
        np.testing.assert_array_equal(labels > 0, mask)
        assert int(pcnet_superpixels(photograph, 9, mask=mask, start_label=0).min()) == -1

    def test_what_is_outside_need_not_be_finite(self, photograph: np.ndarray) -> None:
        image = photograph.astype(float)
        image[:50] = np.nan
        image[50:60] = np.inf
        mask = np.zeros(image.shape[:2], bool)
        mask[60:] = True
        assert_superpixels(pcnet_superpixels(image, 25, mask=mask), 25)

    def test_fewer_than_its_parts_are_refused(self, photograph: np.ndarray) -> None:
        mask = np.zeros(photograph.shape[:2], np.uint8)
        mask[:40, :40] = mask[100:150, 100:150] = mask[200:, 200:] = 1
        assert_superpixels(pcnet_superpixels(photograph, 3, mask=mask), 3)
        with pytest.raises(ValueError, match="parts") as caught:
            pcnet_superpixels(photograph, 2, mask=mask)
        assert str(caught.value) == (
            "n_segments must be at least 3, the number of connected parts of the mask, got 2; "
            "min_size=1601 leaves out the small ones"
        )

    def test_the_range_is_taken_inside(self, photograph: np.ndarray) -> None:
        mask = np.zeros(photograph.shape[:2], bool)
        mask[:, 60:] = True
        hot = photograph.astype(np.float64)
        hot[:, 0] = 1e6
        mild = photograph.astype(np.float64)
        mild[:, 0] = 255
        labels = pcnet_superpixels(hot, 20, mask=mask)
        np.testing.assert_array_equal(labels, pcnet_superpixels(mild, 20, mask=mask))


def test_an_intensity_range_tames_a_hot_pixel(photograph: np.ndarray) -> None:
    hot = photograph.astype(np.uint16)
    hot[0, 0] = 60_000
    plain = pcnet_superpixels(photograph, 50, intensity_range=(0, 255))
    tamed = pcnet_superpixels(hot, 50, intensity_range=(0, 255))
    with pytest.warns(UserWarning, match="spends most of its range"):
        spent = pcnet_superpixels(hot, 50)
    # one pixel differs, and what follows from it; without the range the picture is black
    tamed_score, spent_score = (achievable_segmentation_accuracy(each, plain) for each in (tamed, spent))
    assert tamed_score > spent_score + 0.15


def test_spacing_makes_superpixels_as_wide_as_high_in_the_world(photograph: np.ndarray) -> None:
    def elongation(labels: np.ndarray) -> float:
        boxes = [region.bbox for region in measure.regionprops(labels)]
        return float(np.median([(x1 - x0) / (y1 - y0) for y0, x0, y1, x1 in boxes]))

    whole = elongation(pcnet_superpixels(photograph, 100))
    every_fourth_row = elongation(pcnet_superpixels(photograph[::4], 100, spacing=(4.0, 1.0)))
    assert 3 <= every_fourth_row / whole < 5.3


@pytest.mark.parametrize("spacing", [(60.0, 1.0), (1.0, 900.0)])
def test_windows_do_not_part_a_picture_of_very_flat_pixels(spacing: tuple[float, float]) -> None:
    image = np.random.default_rng(0).random((40, 100, 3))
    whole = pcnet_hierarchy(image, 5, spacing=spacing, precision="float64", window=9999)
    tiled = pcnet_hierarchy(image, 5, spacing=spacing, precision="float64", window=256)
    assert whole.n_min == tiled.n_min == 1
    np.testing.assert_array_equal(tiled.labels(5), whole.labels(5))


def test_a_callers_autocast_does_not_matter(photograph: np.ndarray) -> None:
    expected = pcnet_superpixels(photograph, 50)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(pcnet_superpixels(photograph, 50), expected)


def test_a_picture_that_is_shrunk_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_pcnet.geometry import picture

    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3)).astype(np.uint8)
    expected = pcnet_superpixels(image, 6, method="lattice")
    monkeypatch.setattr(picture, "READ_PX", 4000)
    largest = []
    original = picture.Picture.read

    def watched(self: picture.Picture, window: Any, dtype: Any) -> np.ndarray:
        largest.append(np.prod(window.shape))
        return original(self, window, dtype)

    monkeypatch.setattr(picture.Picture, "read", watched)
    np.testing.assert_array_equal(pcnet_superpixels(image, 6, method="lattice"), expected)
    assert 0 < max(largest) <= 500 * 14  # one work row


def test_a_higher_compactness_is_more_compact(photograph: np.ndarray) -> None:
    from napari_pcnet.metrics import compactness

    loose, tight = (pcnet_superpixels(photograph, 100, compactness=m) for m in (1.0, 50.0))
    assert compactness(tight) > compactness(loose)


def test_torchs_own_settings_are_left_as_found(photograph: np.ndarray) -> None:
    before = (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    state = torch.random.get_rng_state()
    pcnet_superpixels(photograph, 10)
    assert (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()) == before
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("start_label", [0, 1])
def test_features_are_measured_on_the_pixels_of_each_label(photograph: np.ndarray, start_label: int) -> None:
    mask = np.zeros(photograph.shape[:2], bool)
    mask[20:200, 30:300] = True
    tree = pcnet_hierarchy(photograph, 50, mask=mask, start_label=start_label, confidence=True)
    labels, features = tree.labels(30), tree.features(30)
    assert list(features) == ["label", "area", *(f"intensity_mean-{k}" for k in range(3)), "confidence"]
    expected = measure.regionprops_table(
        labels + 1 - start_label, photograph, properties=("label", "area", "intensity_mean")
    )
    np.testing.assert_array_equal(features["label"], expected["label"] - 1 + start_label)
    np.testing.assert_array_equal(features["area"], expected["area"])
    for k in range(3):
        name = f"intensity_mean-{k}"
        np.testing.assert_allclose(features[name], expected[name], atol=255 / 65535)
    assert ((features["confidence"] > 0.2) & (features["confidence"] <= 1)).all()


def test_without_being_asked_for_there_is_no_confidence(tree: PCNetHierarchy) -> None:
    assert "confidence" not in tree.features(5)


def test_features_of_measured_channels_are_in_their_own_units() -> None:
    random = np.random.default_rng(0)
    image = random.normal(300, 50, (40, 50, 5))
    tree = pcnet_hierarchy(image, 6)
    labels, features = tree.labels(6), tree.features(6)
    for k in range(5):
        means = [image[labels == label, k].mean() for label in range(1, 7)]
        np.testing.assert_allclose(features[f"intensity_mean-{k}"], means, atol=np.ptp(image) / 65535)


def test_a_hierarchy_is_saved_and_loaded_as_one_file(tree: PCNetHierarchy, tmp_path: Path) -> None:
    tree.save(tmp_path / "tree.npz")
    loaded = PCNetHierarchy.load(tmp_path / "tree.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["tree.npz"]
    assert (loaded.n_base, loaded.n_min) == (tree.n_base, tree.n_min)
    np.testing.assert_array_equal(loaded.labels(123), tree.labels(123))
    for name, values in tree.features(123).items():
        np.testing.assert_array_equal(loaded.features(123)[name], values)


def test_a_file_that_is_no_hierarchy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match=r"tree\.npz is not a hierarchy that PCNetHierarchy\.save wrote"):
        PCNetHierarchy.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is not a hierarchy"):
        PCNetHierarchy.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="is not a hierarchy"):
        PCNetHierarchy.load(path)


def test_a_damaged_hierarchy_is_refused(tree: PCNetHierarchy, tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    tree.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="or is damaged"):
        PCNetHierarchy.load(path)
    children = tree.trees[0].children.copy()
    children[-1] = children[0]  # two parents
    np.savez(path, base=tree.base, children=children, height=tree.heights, start_label=1)
    with pytest.raises(ValueError, match="or is damaged"):
        PCNetHierarchy.load(path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none to write t\.npz to"):
        tree.save(tmp_path / "none" / "t.npz")


def test_progress_is_told(photograph: np.ndarray) -> None:
    seen: list[tuple[int, int]] = []
    pcnet_superpixels(photograph, 10, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]


IMAGE = np.zeros((32, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_segments": 0}, "n_segments must be a whole number of at least 1, got 0"),
        ({"n_segments": -5}, "n_segments must be a whole number of at least 1, got -5"),
        ({"n_segments": 1.5}, "n_segments must be a whole number of at least 1, got 1.5"),
        ({"n_segments": "ten"}, "n_segments must be a whole number of at least 1, got 'ten'"),
        ({"n_segments": True}, "n_segments must be a whole number of at least 1, got True"),
        ({"n_segments": 1281}, "n_segments must be at most 1280, the pixels of the image, got 1281"),
        ({"method": "slic"}, "method must be 'hierarchy' or 'lattice', got 'slic'"),
        ({"compactness": -1}, "compactness must be a number of at least 0 (and at most 1e9), got -1"),
        ({"compactness": "high"}, "compactness must be a number of at least 0 (and at most 1e9), got 'high'"),
        ({"smoothing": -1}, "smoothing must be a number of pixels from 0 to 100, got -1"),
        ({"start_label": 2}, "start_label must be 0 or 1, got 2"),
        ({"image": np.zeros((0, 5, 3))}, "image must have at least one pixel, got shape (0, 5, 3)"),
        (
            {"image": np.zeros((4, 5)), "channel_axis": 0},
            "image has no channels (shape (4, 5)): pass channel_axis=None for grey",
        ),
        (
            {"image": np.zeros((4, 5, 6)), "channel_axis": None},
            "image is a volume of shape (4, 5, 6) (channel_axis=None): PCNet segments planes, so pass "
            "them one by one, or name the axis of its channels",
        ),
        (
            {"image": np.zeros((2, 4, 5, 3))},
            "image must be (H, W), or (H, W, C) with channel_axis, got shape (2, 4, 5, 3)",
        ),
        ({"channel_axis": 3}, "channel_axis must be a whole number from -3 to 2, or None, got 3"),
        (
            {"image": np.full((4, 5, 3), np.nan)},
            "the image must hold at least one pixel to segment, it is empty, transparent or NaN",
        ),
        (
            {"image": np.full((4, 5, 3), np.inf)},
            "image must be finite, got infinity; leave such pixels out with mask=",
        ),
        ({"mask": np.ones((4, 5))[:, :, None]}, "mask must have the image's shape (32, 40), got (4, 5, 1)"),
        (
            {"mask": np.zeros((32, 40), bool)},
            "the mask must hold at least one pixel to segment, it is empty, transparent or NaN",
        ),
        (
            {"intensity_range": (5, 5)},
            "intensity_range must be two numbers (low, high) with low below high, got (5, 5)",
        ),
        (
            {"spacing": (1, 0)},
            "spacing must be two positive numbers (rows, columns) or one, got (1, 0)",
        ),
        ({"spacing": 0}, "spacing must be two positive numbers (rows, columns) or one, got 0"),
        (
            {"spacing": (1e300, 1e-300)},
            "spacing must not differ more than 1000 times between the axes, got (1e+300, 1e-300)",
        ),
        ({"channel_axis": "last"}, "channel_axis must be a whole number from -64 to 63, or None, got 'last'"),
        ({"device": None}, "device must be a text such as 'auto', 'cpu' or 'cuda', got None"),
        ({"start_label": np.array([0, 1])}, "start_label must be 0 or 1, got array([0, 1])"),
        (
            {"image": np.full((4, 4, 3), 2**60) + np.arange(4)[:, None, None]},
            "image holds whole numbers beyond 2**53; take an offset off or pass floats",
        ),
        (
            {"image": 1.7e308 * np.linspace(0, 1, 48).reshape(4, 4, 3)},
            "image holds values too large to be told apart; divide it by its largest",
        ),
        (
            {"image": np.zeros((4, 4, 4), np.uint8)},
            "the image must hold at least one pixel to segment, it is empty, transparent or NaN",
        ),
        ({"window": 0}, "window must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(options: dict[str, Any], message: str) -> None:
    image = options.get("image", IMAGE)
    others = {name: value for name, value in options.items() if name != "image"}
    with pytest.raises(ValueError, match=r"must|volume|channels|holds") as caught:
        pcnet_superpixels(image, **others)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 1}, "pcnet_superpixels has no argument 'sigma' of slic: smooth the image beforehand"),
        ({"max_num_iter": 5}, "has no argument 'max_num_iter' of slic: the network needs no iterations"),
        ({"slic_zero": True}, "has no argument 'slic_zero' of slic: see compactness"),
        ({"enforce_connectivity": True}, "'enforce_connectivity' of slic: labels are always connected"),
        ({"compactnes": 1}, "has no argument 'compactnes'; did you mean 'compactness'"),
        ({"frobnicate": 1}, "pcnet_superpixels has no argument 'frobnicate'$"),
        ({"max_segments": 9}, "no argument 'max_segments'; did you mean 'n_segments'"),
    ],
)
def test_arguments_of_slic_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        pcnet_superpixels(IMAGE, 10, **options)


def test_the_hierarchy_offers_its_own_arguments() -> None:
    with pytest.raises(TypeError, match=r"pcnet_hierarchy has no argument 'method'$"):
        pcnet_hierarchy(IMAGE, 10, method="lattice")


def test_an_image_of_text_is_refused() -> None:
    with pytest.raises(TypeError, match="image must hold booleans, integers or floats, got <U1"):
        pcnet_superpixels(np.full((4, 4, 3), "a"), 2)


def test_an_unknown_model_is_offered_near_names() -> None:
    with pytest.raises(ValueError, match="pcnet-bsds500-v1"):
        pcnet_superpixels(IMAGE, 10, model="pcnet-bsds50-v1")


def test_more_than_a_tree_holds_names_the_largest_that_can_be_had(tree: PCNetHierarchy) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        tree.labels(10**6)
    assert str(caught.value) == f"n must be at most {tree.n_base}, the regions of this base, got 1000000"
    with pytest.raises(TypeError, match="either a count or height"):
        tree.labels()


@pytest.mark.parametrize("count", [48, 54, 63, 64])
def test_every_count_up_to_the_pixels_can_be_had(count: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    assert_superpixels(pcnet_superpixels(image, count), count)


def test_a_count_that_no_lattice_reaches_takes_pixels_of_the_mask() -> None:
    image, mask = np.full((24, 24, 3), 7, np.uint8), np.zeros((24, 24), bool)
    mask[3:9, 5:20] = mask[15, 2:6] = True
    number = int(mask.sum())
    tree = pcnet_hierarchy(image, number, mask=mask)
    assert tree.n_base == number
    assert_superpixels(tree.labels(number), number)
    assert_superpixels(tree.labels(number - 1), number - 1)
    with pytest.raises(
        ValueError, match=f"^n_segments must be at most {number}, the pixels of the mask, got "
    ):
        pcnet_superpixels(image, number + 1, mask=mask)
