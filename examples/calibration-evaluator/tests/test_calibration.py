import pytest
import torch
from calibration import Calibration, calibration_error

from delt_plugins.kit import check


def test_it_keeps_the_evaluators_contract() -> None:
    check(Calibration())


def test_known_answers() -> None:
    sure = torch.ones(4)
    assert calibration_error(sure, torch.tensor([True] * 4), 15) == 0
    assert calibration_error(sure, torch.tensor([True, True, False, False]), 15) == 0.5
    halves = torch.tensor([0.9, 0.9, 0.3, 0.3])
    right = torch.tensor([True, True, False, False])
    assert calibration_error(halves, right, 10) == pytest.approx((0.1 * 2 + 0.3 * 2) / 4)
