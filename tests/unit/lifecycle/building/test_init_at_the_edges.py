"""Init where table, folder or model are unusual, without anything of it being wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops.io import dump

from roadworthy import wiring
from roadworthy.domain.interface import FieldType, Task
from roadworthy.errors import ArtifactError, InputError
from roadworthy.lifecycle import init as init_module
from roadworthy.lifecycle.init import InitResult, init
from roadworthy.manifest import load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.home import create, is_home

ROWS = 60


def table() -> pd.DataFrame:
    """Make rows with two numbers, a day and two truths."""
    generator = np.random.default_rng(3)
    rows = pd.DataFrame({"a": generator.normal(5, 1, ROWS).round(3), "b": generator.integers(0, 9, ROWS)})
    rows["day"] = [f"2026-01-{1 + n % 28:02d}" for n in range(ROWS)]
    rows["late"] = (rows["a"] + rows["b"] / 9 > 5.5).astype(int)
    return rows


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Write the table."""
    table().to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def begin(place: Path, source: str = "model.skops", folder: str = "project", **more: Any) -> InitResult:
    """Init in a folder beside the table, or in the table's own."""
    where = place / folder

    def plane() -> Plane:
        home = where / ".roadworthy"
        if not is_home(home):
            create(home)
        return wiring.open_plane(Settings(home=home))

    return init(place / source, place / "rows.csv", "ana@example.com", folder=where, open_plane=plane, **more)


def test_what_lies_in_the_folder_already_is_used_where_it_lies(place: Path) -> None:
    """Nothing is copied onto itself, and the name given is the system's."""
    dump(LogisticRegression().fit(table()[["a", "b"]], table()["late"]), place / "model.skops")
    made = begin(place, folder=".", name="parcels")
    assert made.name == "parcels"
    system = load(made.folder, wiring.catalogue())
    assert (system.content.use, system.content.data.table) == ("model.skops", "rows.csv")


def test_a_folder_without_a_usable_name_makes_a_system_called_system(place: Path) -> None:
    """A name is needed in addresses."""
    dump(LinearRegression().fit(table()[["a", "b"]], table()["late"]), place / "model.skops")
    made = begin(place, folder="2026", target="late")
    assert made.name == "system"
    assert load(made.folder, wiring.catalogue()).content.interface.task is Task.REGRESSION


def test_a_model_of_written_dates_gets_them_written(place: Path) -> None:
    """Dates that the model knows as words stay words, and order nothing."""
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    dump(model.fit(table()[["day"]], table()["late"]), place / "model.skops")
    made = begin(place, target="late")
    content = load(made.folder, wiring.catalogue()).content
    assert [field.type for field in content.interface.features] == [FieldType.STRING]
    assert content.data.time == ""


def test_a_model_that_the_interface_cannot_feed_is_the_models_own_message(place: Path) -> None:
    """What a runtime refuses in words of its own is not dressed up."""
    model = LogisticRegression().fit(table()[["a", "b"]], table()["late"])
    model.n_features_in_ = 3
    dump(model, place / "model.skops")
    with pytest.raises(ArtifactError, match="was fitted on 3 features"):
        begin(place)


def test_another_file_of_the_same_name_is_not_overwritten(place: Path) -> None:
    """The project's folder may hold another table of that name; it stays, and nothing is written."""
    dump(LogisticRegression().fit(table()[["a", "b"]], table()["late"]), place / "model.skops")
    (place / "project").mkdir()
    (place / "project" / "rows.csv").write_text("mine")
    with pytest.raises(InputError, match=r"rows\.csv exist already in project/ and nothing is overwritten"):
        begin(place)
    assert [path.name for path in (place / "project").iterdir()] == ["rows.csv"]


def test_training_code_is_tried_on_some_rows_of_a_large_table(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the model takes is to be learned from it; a truth in words makes it a classifier."""
    monkeypatch.setattr(init_module, "_SIGNATURE_ROWS", 20)
    rows = table()
    rows["late"] = rows["late"].map({0: "no", 1: "yes"})
    rows.to_csv(place / "rows.csv", index=False)
    (place / "train.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n\n\ndef train(rows):\n"
        "    assert len(rows) == 20\n    return LogisticRegression().fit(rows[['a', 'b']], rows['late'])\n"
    )
    made = begin(place, "train.py")
    assert load(made.folder, wiring.catalogue()).content.interface.labels == ("no", "yes")


def test_a_graph_that_does_not_fit_the_table_ends_in_one_message(place: Path) -> None:
    """Too few columns, or words for numbers: the graph's own complaint, in one line."""
    numbers = table()[["a", "b"]].to_numpy(np.float32)
    model = LogisticRegression().fit(numbers, table()["late"])
    graph = to_onnx(model, np.zeros((1, 2), np.float32), options={"zipmap": False})
    (place / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(InputError, match="takes 2 features without names"):
        begin(place, "model.onnx", target="late")
    rows = table().drop(columns="day").assign(b="many")
    rows.to_csv(place / "rows.csv", index=False)
    with pytest.raises((InputError, ArtifactError)) as refused:
        begin(place, "model.onnx", target="late")
    assert "\n" not in refused.value.message


def test_a_graph_with_several_answers_a_row_is_refused(place: Path) -> None:
    """One number a row is served; what the runtime says of more is the message."""
    numbers = table()[["a", "b"]].to_numpy(np.float32)
    model = LinearRegression().fit(numbers, np.column_stack([table()["late"], table()["b"]]))
    (place / "model.onnx").write_bytes(to_onnx(model, np.zeros((1, 2), np.float32)).SerializeToString())
    table()[["a", "b", "late"]].to_csv(place / "rows.csv", index=False)
    with pytest.raises(InputError, match="the interface declares one"):
        begin(place, "model.onnx", target="late")


def test_a_graph_that_no_table_can_fill_is_refused_by_what_it_takes(place: Path) -> None:
    """Half-precision numbers are in no table."""
    half, whole = TensorProto.FLOAT16, TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=whole)], "half",
        [helper.make_tensor_value_info("x", half, [None, 2])], [helper.make_tensor_value_info("y", whole, [None, 2])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (place / "model.onnx").write_bytes(model.SerializeToString())
    table()[["a", "b", "late"]].to_csv(place / "rows.csv", index=False)
    with pytest.raises(ArtifactError, match="which a table cannot fill"):
        begin(place, "model.onnx", target="late")


def test_a_table_of_nothing_but_the_truth_is_refused(place: Path) -> None:
    """Even a model that looks at nothing needs an input to be asked with."""
    table()[["late"]].to_csv(place / "rows.csv", index=False)
    dump(DummyClassifier().fit(np.zeros((ROWS, 0)), table()["late"]), place / "model.skops")
    with pytest.raises(InputError, match="no column beside the target 'late'"):
        begin(place, target="late")
