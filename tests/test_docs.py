"""Pages point to things that are there, their commands are ones that exist, and they stay readable.

User pages are the front page, `docs/` and the cards in `models/`. Pages of the record (`docs/log/`) tell of past
commits: their links must lead somewhere, their commands and names are not checked.
"""

import ast
import importlib
import inspect
import json
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.archive.options import add_options
from scripts.command import main as console_command

ROOT = Path(__file__).parents[1]
USER_PAGES = sorted(
    path.relative_to(ROOT).as_posix() for folder in ("", "docs", "models") for path in (ROOT / folder).glob("*.md")
)
LOG_PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "log").glob("*.md"))
CARDS = [page for page in USER_PAGES if page.startswith("models/")]

#: JSON files that pages name and that are no configs: outputs, data lists, metadata.
OTHER_JSON = {"findings", "run_report", "metrics", "comparison", "comparisons", "agreement", "operating_points"}
OTHER_JSON |= {"failure", "datalist", "plain", "phantoms", "presentations", "best", "metadata", "done", "groups"}
OTHER_JSON |= {"region", "change", "evaluation", "study", "archive_report", "inserted"}

#: Options of `monai.bundle run` itself.
RUN_OPTIONS = {"config_file", "meta_file", "logging_file", "tracking", "args_file"}


@cache
def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(text):
    """Lines of code blocks, fenced or indented, with continued lines joined and comments cut off."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line)
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines() if line.strip()]


def inline_code(text):
    return re.findall(r"`([^`\n]+)`", text)


def bundle_commands():
    for page in USER_PAGES:
        for line in code_blocks(text_of(page)) + inline_code(text_of(page)):
            if "monai.bundle run" in line and "--config_file" in line and "<overlay>" not in line:
                yield pytest.param(line, id=f"{page}: {line[:60]}")


#: Tools of the evaluation, which running text names alone: `compare --unit patient`.
TOOLS = r"(?:methods|stored|report|failures|compare|readers|summary|inserted|slices) "


def module_commands():
    for page in USER_PAGES:
        for line in code_blocks(text_of(page)) + inline_code(text_of(page)):
            if re.match(r"python -m scripts\.\w+", line):
                yield pytest.param(line, id=f"{page}: {line[:60]}")
            elif re.match(f"{TOOLS}.*--", line):
                yield pytest.param(f"python -m scripts.evaluation {line}", id=f"{page}: {line[:60]}")


@cache
def archive_options():
    """Options of `mammo-mc archive`, which its page names one by one."""
    names = []
    add_options(lambda *words, **_: names.extend(word[2:] for word in words if word.startswith("--")))
    return frozenset(names)


def headings(page):
    """Anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def load(names):
    """The merged content of config files, as `monai.bundle run` merges them."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / name.removeprefix("<bundle>/")) for name in names])
    return parser.config


def holds(config, key):
    """Whether a config has `a::b::0`, or the object at `a` takes an argument `b`."""
    node = config
    if "_overrides::" in key:  # tables that users fill
        key = key[: key.index("_overrides::") + len("_overrides")]
    for part in key.split("::"):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return key.endswith(f"::{part}") and part in arguments_of(node)
    return True


def arguments_of(node):
    """Names of the arguments that an object of this bundle takes; of anything else none."""
    target = node.get("_target_", "") if isinstance(node, dict) else ""
    if not target.startswith("scripts."):
        return set()
    module, _, name = target.rpartition(".")
    return set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


@cache
def all_configs():
    """Every config alone and after those that run alone, where they go together."""
    files = sorted(path.name for path in (ROOT / "configs").glob("*.json") if path.name != "metadata.json")
    scoring = ["configs/inference.json", "configs/evaluate.json"]
    found = []
    for base in ([], scoring[:1], scoring, ["configs/train.json"]):
        for name in files:
            try:
                found.append(load([*base, f"configs/{name}"]))
            except (KeyError, ValueError):  # changes a key that this base does not have
                continue
    return found


@pytest.mark.parametrize("page", USER_PAGES + LOG_PAGES)
def test_relative_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text_of(page)):
        if target.startswith(("http:", "https:")):
            continue
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in headings(path.relative_to(ROOT).as_posix()), f"{page}: {target}#{anchor}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_named_files_exist(page):
    text = text_of(page)
    for name in re.findall(r"\b(?:configs|scripts|tests|docs|models)/[\w/]+\.(?:json|py|md|png|txt)\b", text):
        assert (ROOT / name).is_file(), f"{page}: {name}"
    for name in re.findall(r"\bscripts/(?:\w+/)+(?!\w)", text):
        assert (ROOT / name).is_dir(), f"{page}: {name}"
    for code in inline_code(text):
        for name in re.findall(r"(?<![\w/*<>])(\w+)\.json\b", code):
            assert name in OTHER_JSON or (ROOT / "configs" / f"{name}.json").is_file(), f"{page}: {name}.json"


@pytest.mark.parametrize("page", USER_PAGES)
def test_named_python_objects_exist(page):
    for name in sorted(set(re.findall(r"\bscripts(?:\.\w+)+", text_of(page)))):
        parts, attributes = name.split("."), []
        while True:
            try:
                thing = importlib.import_module(".".join(parts))
                break
            except ModuleNotFoundError:
                attributes.insert(0, parts.pop())
        for attribute in attributes:
            assert hasattr(thing, attribute), f"{page}: {name}"
            thing = getattr(thing, attribute)


@pytest.mark.parametrize("page", USER_PAGES)
def test_functions_named_with_their_file_exist(page):
    for path, name in re.findall(r"`(scripts/[\w/]+)\.py: (\w+)`", text_of(page)):
        assert hasattr(importlib.import_module(path.replace("/", ".")), name), f"{page}: {path}.py: {name}"


@pytest.mark.parametrize("command", bundle_commands())
def test_bundle_commands_name_configs_runs_and_options_that_exist(command):
    words = shlex.split(command)
    words = words[words.index("monai.bundle") + 2 :]
    options = {word[2:]: words[i + 1] for i, word in enumerate(words) if word.startswith("--")}
    files = options["config_file"]
    names = ast.literal_eval(files) if files.startswith("[") else [files]
    config = load(names)
    run = "run" if words[0].startswith("--") else words[0]
    assert run in config, f"{run}: no such run of {names}"
    for key in set(options) - RUN_OPTIONS:
        assert holds(config, key), f"--{key}: no such key of {names}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_nested_options_in_the_text_exist_in_a_config(page):
    for code in inline_code(text_of(page)):
        for key in re.findall(r"(?<![\w:])(\w+(?:::\w+)+)", code):
            assert any(holds(config, key) for config in all_configs()), f"{page}: {key}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_top_level_options_in_the_text_exist_in_a_config(page):
    for code in inline_code(text_of(page)):
        if re.match(f"python -m scripts|mammo-mc|{TOOLS}", code):
            continue  # checked as commands
        for key in re.findall(r"(?<![\w-])--(\w+)(?![\w:-])", code):
            if key in archive_options():
                continue
            assert key in RUN_OPTIONS | {"help"} or any(key in config for config in all_configs()), f"{page}: --{key}"


@pytest.mark.parametrize("command", module_commands())
def test_commands_of_our_own_modules_know_their_options(command, monkeypatch, capsys):
    words = shlex.split(command)[2:]
    first = [words[1]] if len(words) > 1 and re.fullmatch(r"[a-z]+(-[a-z]+)*", words[1]) else []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [words[0], *first, "--help"])
    monkeypatch.setattr("scripts.common.interrupt.leave", sys.exit)  # this process goes on
    with pytest.raises(SystemExit) as end:
        runpy.run_module(words[0], run_name="__main__")
    assert end.value.code in (0, None), command
    known = capsys.readouterr().out
    for option in [word for word in words if word.startswith("--")]:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"{command}: {option}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_the_console_command_knows_its_words_and_options(page, capsys):
    for code in code_blocks(text_of(page)) + inline_code(text_of(page)):
        if code.startswith("mammo-mc "):
            words = shlex.split(code)[1:]
            assert console_command([words[0], "--help"]) == 0, f"{page}: {code}"
            known = capsys.readouterr().out
            for option in (word for word in words if word.startswith("--")):
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", known), f"{page}: {code}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), re.M))
    for code in code_blocks(text_of(page)) + inline_code(text_of(page)):
        if match := re.match(r"make ([a-z0-9-]+)", code):
            assert match[1] in targets, f"{page}: make {match[1]}"


@pytest.mark.parametrize("page", USER_PAGES)
def test_user_pages_are_readable(page):
    for number, line in enumerate(text_of(page).splitlines(), 1):
        assert len(line) <= 160, f"{page}:{number}: {len(line)} characters"
        commits = re.findall(r"\bcommit `?[0-9a-f]{7}|\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}\b", line)
        assert not commits, f"{page}:{number}: {commits} belongs to docs/log"
        assert "TODO" not in line, f"{page}:{number}: something is left to do"


@pytest.mark.parametrize("page", USER_PAGES + LOG_PAGES)
def test_pages_hold_no_path_of_a_machine(page):
    assert not re.search(r"(?<![\w.:/])/(?:work|home|root|tmp|mnt)/", text_of(page))


def test_front_page_and_cards_are_short():
    assert len(text_of("README.md").splitlines()) < 100
    assert all(len(text_of(card).splitlines()) <= 60 for card in CARDS)


def test_every_page_is_linked_from_the_index():
    index = text_of("docs/README.md")
    for page in USER_PAGES + LOG_PAGES:
        if page.startswith("docs/") and page != "docs/README.md":
            assert f"({page.removeprefix('docs/')}" in index, page


def test_each_weight_file_has_a_card():
    ignored = (ROOT / ".gitignore").read_text().splitlines()  # weights too large to be shipped
    found = [path for path in (ROOT / "models").glob("*.pt") if f"/models/{path.name}" not in ignored]
    weights = {path.stem for path in found if ".previous" not in path.name}
    assert weights and all((ROOT / "models" / f"{name}.md").is_file() for name in weights)


def test_presets_on_the_pages_are_those_of_the_file():
    methods = json.loads(text_of("models/operating_points.json"))
    for method, card in (("HDoGReg", "models/model.md"), ("slim FCN", "models/slim_fcn.md")):
        for page in (card, "docs/results.md"):
            for name, point in methods[method]["presets"].items():
                row = next(line for line in text_of(page).splitlines() if re.match(rf"\| {name} \| ", line))
                for value, digits in ((point["threshold"], 4), (point["tpr"], 3), (point["fp_per_cm2"], 3)):
                    assert f"{value:.{digits}f}" in row, f"{page}: {name}: {value}"
