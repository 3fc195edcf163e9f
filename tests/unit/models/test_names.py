"""Names in a table: read, changed by several at once, and refused where they are none."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.core.errors import UserError
from raynef.models.names import (
    HISTORY,
    NAMES,
    Names,
    NamesChangedError,
    change_names,
    read_names,
)


def test_a_change_keeps_the_other_lines_and_their_colors(tmp_path):
    (tmp_path / NAMES).write_text("cluster_id\tname\tcolor\n4\tsky\t#0000ff\n2\tcow\n\n")
    found = change_names(tmp_path, 6, {0: "sky", 2: None, 5: " tall grass "})
    assert found.names == {0: "sky", 4: "sky", 5: "tall grass"}
    assert found == read_names(tmp_path, 6)
    lines = (tmp_path / NAMES).read_text().splitlines()
    assert lines[1:] == ["0\tsky\t#0000ff", "4\tsky\t#0000ff", "5\ttall grass\t"]
    history = [line.split("\t")[1:] for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert history == [["0", "", "sky"], ["2", "cow", ""], ["5", "", "tall grass"]]


def test_a_proposal_has_a_source_until_a_person_names_its_cluster(tmp_path):
    change_names(tmp_path, 6, {0: "cow", 4: "sky", 5: "sea"}, source="a model, its weights")
    change_names(tmp_path, 6, {0: "sheep", 1: "sky", 5: None})
    found = read_names(tmp_path, 6)
    assert found.names == {0: "sheep", 1: "sky", 4: "sky"}
    assert found.sources == {4: "a model, its weights"}
    lines = (tmp_path / NAMES).read_text().splitlines()
    assert lines[0] == "cluster_id\tname\tcolor\tsource"
    assert lines[3] == "4\tsky\t\ta model, its weights"
    change_names(tmp_path, 6, {4: "sky"})  # a person agrees
    assert (tmp_path / NAMES).read_text().splitlines()[0] == "cluster_id\tname\tcolor"


def test_clusters_of_one_name_are_one_class(tmp_path):
    names = Names({4: "sky", 0: "grass", 1: "sky"})
    classes = names.classes(6)
    assert classes is not None
    assert (classes.classes, classes.class_names) == ((0, 1, -1, -1, 1, -1), ("grass", "sky"))
    assert Names().classes(6) is None


def test_noise_and_unsure_make_no_class():
    names = Names({0: "noise", 1: "sky", 2: "unsure"})
    classes = names.classes(4)
    assert classes is not None
    assert (classes.classes, classes.class_names) == ((-1, 0, -1, -1), ("sky",))
    assert names.settled() == [0, 1]  # of those that are unsure nothing is known
    assert Names({0: "noise"}).classes(4) is None


def test_a_change_of_what_somebody_else_changed_is_refused_whole(tmp_path):
    change_names(tmp_path, 6, {0: "sky", 1: "sky"})
    with pytest.raises(NamesChangedError, match="cluster 0 was named 'sky' by somebody else"):
        change_names(tmp_path, 6, {2: "cow", 0: "cow"}, seen={2: None, 0: None})
    with pytest.raises(NamesChangedError, match="cluster 3 lost its name"):
        change_names(tmp_path, 6, {3: "cow"}, seen={3: "grass"})
    assert read_names(tmp_path, 6).names == {0: "sky", 1: "sky"}
    change_names(tmp_path, 6, {0: "cow", 2: "cow"}, seen={0: "sky", 2: ""})
    assert read_names(tmp_path, 6).names == {0: "cow", 1: "sky", 2: "cow"}


def test_nothing_named_is_no_table(tmp_path):
    assert read_names(tmp_path, 3) == Names()
    change_names(tmp_path, 3, {1: "a"})
    change_names(tmp_path, 3, {1: ""})
    assert not (tmp_path / NAMES).exists()


def test_two_who_name_at_once_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: change_names(tmp_path, 40, {k: f"name {k}"}), range(40)))
    assert read_names(tmp_path, 40).names == {k: f"name {k}" for k in range(40)}


@given(st.dictionaries(st.integers(0, 9), st.text(min_size=1, max_size=30), max_size=6))
def test_any_name_is_kept_or_refused(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("names")
    try:
        found = change_names(folder, 10, changes)
    except UserError:
        assert not (folder / NAMES).exists()
    else:
        assert read_names(folder, 10).names == found.names
        assert found.names == {k: name.strip() for k, name in changes.items() if name.strip()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3,sky", "line 1: expected cluster_id, name and color"),
        ("cluster_id\tname\tcolor\n0\tsky\nx\tcow", "line 3: expected"),
        ("9\tsky", "line 1: there is no cluster 9; there are 0 to 5"),
        ("-1\tsky", "line 1: there is no cluster -1"),
        ("1\tsky\tblue", "line 1: color must be #rrggbb, got 'blue'"),
        ("1\t" + 300 * "x", "line 1: a name has at most 200"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, text, message):
    (tmp_path / NAMES).write_text(text)
    with pytest.raises(UserError, match=message):
        read_names(tmp_path, 6)
    (tmp_path / NAMES).write_bytes("1\tstraße".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read_names(tmp_path, 6)


def test_a_spreadsheet_may_have_saved_it(tmp_path):
    (tmp_path / NAMES).write_bytes('\ufeffcluster_id\tname\tcolor\r\n1\t"sky"\t\r\n'.encode())
    assert read_names(tmp_path, 6).names == {1: "sky"}


@pytest.mark.parametrize("name", ["a\tb", "a\nb", 'a "b"', 300 * "x"])
def test_what_cannot_stand_in_a_table_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="a name has at most 200 characters, without tabs"):
        change_names(tmp_path, 6, {1: name})
    with pytest.raises(UserError, match="there is no cluster 6"):
        change_names(tmp_path, 6, {6: "a"})
