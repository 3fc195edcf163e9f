"""What a run's folder says of itself."""

import re

import pytest

from raynef import __version__
from raynef.config.recipe import Recipe, to_dict
from raynef.core.errors import UserError
from raynef.io.files import write_json
from raynef.stores.run import RunFolder, environment


def test_a_recipe_of_another_version_names_both(tmp_path):
    recipe = to_dict(Recipe())
    recipe["train"]["mirror"] = True
    made = environment()
    made["versions"]["raynef"], made["git_commit"] = "9.1.0", "0123456789abcdef"
    run = RunFolder(tmp_path)
    write_json(run.record_file, {"recipe": recipe, "environment": made})
    with pytest.raises(UserError) as caught:
        run.recipe()
    said = str(caught.value)
    assert "run.json: unknown key train.mirror" in said
    assert "written by raynef 9.1.0, commit 0123456789ab; this is raynef " + __version__ in said

    write_json(run.record_file, {"recipe": recipe})
    with pytest.raises(UserError, match=re.escape("written by raynef of unknown version; this")):
        run.recipe()

    del recipe["train"]["mirror"]
    write_json(run.record_file, {"recipe": recipe, "environment": made})
    assert run.recipe() == Recipe()
