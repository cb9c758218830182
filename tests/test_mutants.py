"""The changes that tests ought to notice are of the code as it is, or nothing is learnt from them."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text(encoding="utf-8"))["mutant"]


def test_what_is_changed_stands_in_its_file_once() -> None:
    found = {each["name"]: (ROOT / each["file"]).read_text("utf-8").count(each["old"]) for each in MUTANTS}
    assert found == dict.fromkeys(found, 1)


def test_the_tests_that_ought_to_notice_are_there() -> None:
    for each in MUTANTS:
        for file, _, name in (test.partition("::") for test in each["tests"]):
            assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text("utf-8"), each["name"]
