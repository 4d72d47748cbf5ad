"""Sessions of ONNX Runtime: what was asked for against what was given."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from runtime.cuda import Unavailable
from runtime.session import Options, OrtSession, finite, rows

MISSING = next(
    name for name in ("cuda", "openvino", "tensorrt") if name not in "".join(onnxruntime.get_available_providers()).lower()
)
IMAGE = np.full((1, 3, 8, 8), 77, np.uint8)


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("optimise", [True, False])
def test_threads_and_optimisations_do_not_change_the_answer(artifact: Path, threads: int | None, optimise: bool) -> None:
    found = OrtSession(artifact / "embedding.onnx", options=Options(threads=threads, optimise=optimise))
    assert found.providers == ("CPUExecutionProvider",)
    plain = OrtSession(artifact / "embedding.onnx").run(["embedding"], {"image": IMAGE})
    np.testing.assert_allclose(found.run(["embedding"], {"image": IMAGE}), plain, rtol=1e-6)


def test_the_thread_count_is_handed_on(artifact: Path) -> None:
    settings = OrtSession(artifact / "embedding.onnx", options=Options(threads=2)).session.get_session_options()
    assert settings.intra_op_num_threads == 2
    assert settings.inter_op_num_threads == 1


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_at_all_are_refused(artifact: Path, threads: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more, or None"):
        OrtSession(artifact / "embedding.onnx", options=Options(threads=threads))


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider"])
def test_short_and_long_names_of_providers_are_known(artifact: Path, name: str) -> None:
    assert OrtSession(artifact / "embedding.onnx", name).providers == ("CPUExecutionProvider",)


def test_an_unknown_provider_is_refused_with_the_known_ones(artifact: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no provider 'abacus'; this installation has .*CPUExecutionProvider"):
        OrtSession(artifact / "embedding.onnx", "abacus")


def test_an_accelerator_that_is_not_there_is_never_the_cpu(artifact: Path) -> None:
    with pytest.raises(Unavailable, match="this installation of onnxruntime has only"):
        OrtSession(artifact / "embedding.onnx", MISSING)


def test_a_run_that_fails_is_a_sentence(artifact: Path) -> None:
    session = OrtSession(artifact / "embedding.onnx")
    with pytest.raises(RuntimeError, match=r"embedding\.onnx fails on cpu: .*INVALID_ARGUMENT"):
        session.run(["embedding"], {"image": IMAGE[:, :, :4]})


@pytest.mark.parametrize("content", [b"", b"no graph at all", None])
def test_a_broken_or_missing_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.onnx cannot be opened by ONNX Runtime"):
        OrtSession(tmp_path / "broken.onnx")


def test_rows_are_cut_without_gap_or_overlap() -> None:
    for count in range(9):
        for size in range(1, 5):
            parts = [list(range(count))[part] for part in rows(count, size)]
            assert [row for part in parts for row in part] == list(range(count))
            assert all(1 <= len(part) <= size for part in parts)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="'logits' is not finite"):
        finite("logits", np.array([[0.0, value]]))
