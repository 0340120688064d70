"""The documents point to things that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for folder in ("", "docs", "models") for path in (ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not target.startswith(("http:", "https:")):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_named_configs_and_scripts_exist(page):
    text = (ROOT / page).read_text()
    for name in re.findall(r"\b(?:configs|scripts|tests)/[\w/]+\.(?:json|py)\b", text):
        assert (ROOT / name).is_file(), f"{page}: {name}"


def test_every_overlay_and_make_target_of_the_front_page_exists():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"`(\w+\.json)`", text):
        assert (ROOT / "configs" / name).is_file() or name in ("findings.json", "run_report.json"), name
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"`?make ([a-z]+)", text)) <= set(targets)


def test_each_weight_file_has_a_card():
    ignored = (ROOT / ".gitignore").read_text().splitlines()  # weights too large to be shipped
    found = [path for path in (ROOT / "models").glob("*.pt") if f"/models/{path.name}" not in ignored]
    weights = {path.stem for path in found if ".previous" not in path.name}
    assert weights and all((ROOT / "models" / f"{name}.md").is_file() for name in weights)
