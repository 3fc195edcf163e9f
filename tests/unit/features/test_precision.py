"""bfloat16 that is asked for where it is emulated."""

import logging

import pytest
import torch

from raynef.features import precision as precision_module

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "native", "warns"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("auto", False, False)],
)
def test_emulation_is_said_once(asked, native, warns, monkeypatch, caplog):
    monkeypatch.setattr(precision_module, "has_bfloat16", lambda device: native)
    monkeypatch.setattr(logging.getLogger("raynef"), "propagate", True)
    precision_module._warn_of_emulation.cache_clear()
    with caplog.at_level(logging.WARNING, "raynef"):
        for _ in range(3):
            assert precision_module.uses_bfloat16(asked, CPU) is (asked == "bfloat16")
    assert len(caplog.records) == int(warns)
