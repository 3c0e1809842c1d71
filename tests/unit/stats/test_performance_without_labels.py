"""Quality estimated before outcomes arrive, and the residual when they do."""

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from roadworthy.stats.performance import Calibration, calibrate, estimate, residual
from roadworthy.stats.quality import accuracy, brier, log_loss, roc_auc


@pytest.fixture
def rows():
    """Calibrated probabilities and the outcomes they promise."""
    generator = np.random.default_rng(31)
    p = generator.beta(1.2, 3, 20_000).round(3)
    return p, (generator.random(20_000) < p).astype(float)


def test_calibrated_probabilities_tell_their_own_quality(rows):
    """Accuracy, Brier score and AUC are known within sampling noise before one outcome is."""
    p, y = rows
    found = estimate(p, threshold=0.4)
    assert found.n == 20_000
    assert found.accuracy.holds(accuracy(y, p >= 0.4))
    assert found.brier == pytest.approx(brier(y, p), abs=0.005)
    assert found.auc == pytest.approx(roc_auc(y, p), abs=0.01)


def test_the_expected_auc_is_that_of_all_possible_outcomes():
    """On few rows it equals the definition over pairs of different rows, ties half."""
    p = np.array([0.1, 0.4, 0.4, 0.9])
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    right = sum(p[i] * (1 - p[j]) * ((p[i] > p[j]) + (p[i] == p[j]) / 2) for i, j in pairs)
    assert estimate(p).auc == pytest.approx(right / sum(p[i] * (1 - p[j]) for i, j in pairs))


def test_the_accuracys_interval_covers_the_chance_in_outcomes():
    """Of 1,000 batches of 200 rows, about 95 % realise an accuracy within it."""
    generator = np.random.default_rng(32)
    p = generator.random(200)
    right = (generator.random((1000, 200)) < p) == (p >= 0.5)
    found = estimate(p).accuracy
    realised = right.mean(axis=1)
    assert 0.93 <= ((found.low <= realised) & (realised <= found.high)).mean() <= 0.97


def test_without_rows_there_is_no_estimate_and_without_pairs_no_auc():
    """No data is None, never perfect."""
    assert estimate([]) is None
    assert estimate([1.0, 1.0]).auc is None
    assert estimate([0.5]).auc is None


def test_the_residual_is_quiet_while_the_relation_holds_and_loud_when_it_moves(rows):
    """Moved inputs alone leave it at 0; outcomes that no longer follow the model do not."""
    p, y = rows
    shifted = p > 0.3
    quiet = residual(y[shifted], p[shifted])
    assert quiet.accuracy.holds(0)
    assert quiet.brier.holds(0)
    moved = residual(1 - y[shifted], p[shifted])
    assert moved.accuracy.holds(0) is False
    generator = np.random.default_rng(33)
    changed = residual((generator.random(len(p)) < np.clip(p + 0.15, 0, 1)).astype(float), p)
    assert changed.accuracy.high < 0
    assert changed.brier.low > 0


def test_calibration_makes_scores_into_probabilities(rows):
    """A distorted score gets back its meaning, close to scikit-learn's isotonic regression."""
    p, y = rows
    score = p**3 * 10 - 4
    calibration = calibrate(score, y)
    ours = calibration.apply(score)
    theirs = IsotonicRegression().fit(score, y).predict(score)
    assert np.abs(ours - theirs).mean() < 0.02
    assert log_loss(y, ours) == pytest.approx(log_loss(y, p), rel=0.01)
    assert len(calibration.scores) <= 256
    assert list(calibration.probabilities) == sorted(calibration.probabilities)
    assert Calibration.from_doc(json.loads(json.dumps(calibration.to_doc()))) == calibration


@pytest.mark.parametrize(
    "wrong", [lambda: estimate([1.2]), lambda: calibrate([1, 2], [0, 2]), lambda: residual([1], [2])]
)
def test_what_is_no_probability_or_label_is_refused(wrong):
    """A score outside [0, 1] is not taken for a probability."""
    with pytest.raises(ValueError, match=r".+"):
        wrong()
