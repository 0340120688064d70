"""Parameter objects of the simulation: the configs list every number, and a wrong one is named."""

import json

import pytest
from monai.bundle import ConfigParser

from scripts.simulation.benchmark import BenchmarkSettings
from scripts.simulation.insertion.lookalikes import LookalikeSettings
from scripts.simulation.insertion.sampling import InsertionSettings
from scripts.simulation.mixture_benchmark import MixtureBenchmark
from scripts.simulation.phantom import PhantomSettings
from scripts.simulation.phantom.parameters import McRanges, OutlineRanges
from scripts.training.insertion_patches import InsertionPatches
from scripts.training.mixture_patches import MixturePatches

CONFIGURED = {
    ("data_phantom.json", "source::settings"): PhantomSettings,
    ("data_insertion.json", "patches"): InsertionPatches,
    ("data_benchmark.json", "benchmark"): BenchmarkSettings,
}
#: These leave out what is not theirs: the parts drawn as in the first wave.
SECOND = {
    ("data_mixture.json", "patches"): MixturePatches,
    ("data_benchmark_2.json", "benchmark"): MixtureBenchmark,
}


@pytest.mark.parametrize(("file", "key"), CONFIGURED | SECOND)
def test_python_defaults_are_the_configs_values(root, file, key):
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / file))
    assert parser.get_parsed_content(key) == (CONFIGURED | SECOND)[file, key]()


def fields_of(thing):
    """Names of all fields, nested ones too, without the tables of named objects."""
    for name, value in vars(thing).items():
        yield name
        if hasattr(value, "__dataclass_fields__"):
            yield from fields_of(value)


@pytest.mark.parametrize(("file", "key"), CONFIGURED)
def test_the_configs_name_every_number(root, file, key):
    text = (root / "configs" / file).read_text()
    json.loads(text)
    assert not [name for name in fields_of(CONFIGURED[file, key]()) if f'"{name}"' not in text]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: InsertionSettings(diameter_range_mm=[1.0, 0.1]), "diameter_range_mm: got .*; want two numbers"),
        (lambda: InsertionSettings(main_kind_share=1.2), r"main_kind_share: got 1.2; want a share in \[0, 1\]"),
        (lambda: InsertionSettings(cluster_shares=[0.5, 0.5]), "cluster_shares: got .*; want a share of each of"),
        (lambda: McRanges(single_shares=[0.5, 0.2, 0.1, 0.1]), "single_shares: got .*; want shares .* the sum 1"),
        (lambda: LookalikeSettings(rate=-1.0), "rate: got -1.0; want 0 or more"),
        (lambda: LookalikeSettings(kinds={"a": {"rate": 1, "contrast_unit": "x"}}), "contrast_unit: got 'x'; want"),
        (lambda: OutlineRanges(wave_sd=-0.1), "wave_sd: got -0.1; want 0 or more"),
    ],
)
def test_a_wrong_number_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_lists_of_a_config_become_tuples_so_that_settings_compare_and_hash_alike():
    assert InsertionSettings(count=[3, 30]) == InsertionSettings()
    assert InsertionPatches(resize_range=[0.75, 1.4], insertion=InsertionSettings(count=[3, 30])) == InsertionPatches()
