"""Words of a command line that might be taken for others."""

import shlex

import pytest

from napari_pcnet import RunRecord
from napari_pcnet.cli import parser_for
from napari_pcnet.cli.flags import options_from


@pytest.mark.parametrize("name", ["-region.tif", "--overwrite", "my region.tif", "none.tif", "$HOME.tif"])
def test_a_mask_keeps_its_name_whatever_it_begins_with(name: str) -> None:
    record = RunRecord(5, mask=name)
    words = shlex.split(record.command_line("in.tif", "out.tif"))[1:]
    assert options_from(parser_for(words).parse_args(words), RunRecord) == record
