"""The site's own pages: what is made from the code is whole, and nothing stands apart from it."""

import dataclasses
import importlib.util
import re
import tomllib
from types import ModuleType

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import raynef
from raynef.cli.commands import COMMANDS
from raynef.config.presets import backbone_names, preset_names
from raynef.config.recipe import Recipe
from raynef.images.datasets.registry import dataset_names
from tests.places import ROOT


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """docs/generate.py, as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_is_listed_with_a_meaning_for_each_argument(site):
    page = site.commands()
    assert re.findall(r"^### raynef (.*)$", page, re.MULTILINE) == list(COMMANDS)
    assert "| `--out PATH` | required | Folder of the run. |" in page
    assert "| `RUN` | required | Folder of the run. |" in page


def test_every_field_of_the_recipe_is_listed_with_its_meaning(site):
    rows = re.findall(r"^\| `--([a-z.-]+)[^|]*\|([^|]*)\|(.*)\|$", site.recipe(), re.MULTILINE)
    listed = {name for name, _, _ in rows}
    fields = {
        f"{section.name}.{field.name}".replace("_", "-")
        for section in dataclasses.fields(Recipe)
        for field in dataclasses.fields(getattr(Recipe(), section.name))
    }
    assert listed == fields
    assert all(len(meaning.strip()) > 4 for _, _, meaning in rows)


def test_every_preset_and_every_space_is_listed_with_a_line(site):
    for names, page in (
        (preset_names(), site.data_presets()),
        (backbone_names(), site.backbone_presets()),
        (sorted(path.stem for path in (ROOT / "tune_spaces").glob("*.yaml")), site.spaces()),
    ):
        rows = re.findall(r"^\| `([^`]+)` \|(.*)\|$", page, re.MULTILINE)
        assert [name for name, _ in rows if name != "--recipe"] == names
        assert all(len(about.replace("|", "").strip()) > 10 for _, about in rows)


def test_every_data_set_has_a_row():
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)`", text)) >= set(dataset_names())


def test_links_of_a_file_at_the_root_lead_to_pages(site):
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", site.of_repository(name))
        assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []


def test_a_notebook_becomes_a_page(site):
    page = site.of_repository("docs/notebook.ipynb")
    assert page.startswith("# Segments without labels")
    assert "```python\nfrom pathlib import Path\n" in page
    assert page.count("```") % 2 == 0


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r"[\w/-]+\.md", text)) == pages


# ------------------------------------------------------------------------------------ releases


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == raynef.__version__
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    released = [name for name in headings if name != "Unreleased"]
    assert released[:1] in ([], [raynef.__version__])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]


def test_the_lock_file_has_a_version_for_every_dependency_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", lock, re.MULTILINE))
    extras = project["optional-dependencies"]
    for line in (*project["dependencies"], *extras["test"], *extras["docs"]):
        need = Requirement(line)
        version = pinned.get(canonicalize_name(need.name))
        assert version is not None, f"{need.name} is not in requirements.lock"
        assert need.specifier.contains(version, prereleases=True), f"{line}, but {version}"


def test_the_workflow_takes_the_oldest_and_the_newest_ray_that_the_package_admits():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ray = next(one for one in map(Requirement, project["dependencies"]) if one.name == "ray")
    bounds = {one.operator: one.version for one in ray.specifier}
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["run"]["strategy"]["matrix"]
    assert matrix["ray"] == [f"=={bounds['>=']}.*", f"<{bounds['<']}"]
    assert f">={matrix['python'][0]}" == project["requires-python"]
