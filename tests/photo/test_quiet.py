from __future__ import annotations

import io
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
from PIL import Image

from unveil import photo
from unveil.errors import InputError
from unveil.util.quiet import quiet, unlimited


def from_pillow() -> None:
    warnings.warn_explicit("corrupt something", UserWarning, "x.py", 1, module="PIL.TiffImagePlugin")


def test_pillows_warnings_are_silenced_and_others_are_not() -> None:
    with quiet():
        from_pillow()
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", UserWarning, stacklevel=1)
    with pytest.raises(UserWarning, match="corrupt"):
        from_pillow()


def test_threads_that_overlap_leave_the_filters_as_they_were() -> None:
    """The first to enter leaves first: with warnings.catch_warnings alone the second would bring back the silenced filters."""
    before = list(warnings.filters)
    inside, leave_first, first_left, leave_second = (threading.Event() for _ in range(4))

    def first() -> None:
        with quiet():
            inside.set()
            leave_first.wait(10)
        first_left.set()

    def second() -> None:
        with quiet():
            leave_first.set()
            first_left.wait(10)
            from_pillow()
            leave_second.wait(10)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait(10)
    threads[1].start()
    leave_second.set()
    for thread in threads:
        thread.join(10)
    assert list(warnings.filters) == before


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff is built into Pillow there")
def test_libtiff_is_silent_about_damage_and_speaks_again_after(
    make: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    file = bytearray(make.pillow(make.random((50, 50, 3)), "TIFF", compression="tiff_lzw"))
    file[300:400] = b"\xff" * 100
    with pytest.raises(InputError, match="decoder error"):
        photo.read(bytes(file))
    assert capfd.readouterr().err == ""
    with Image.open(io.BytesIO(bytes(file))) as image, pytest.raises(OSError, match="decoder error"):
        image.load()
    assert "code" in capfd.readouterr().err


def test_pillows_limit_is_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    def fail() -> None:
        with unlimited(2000):
            assert Image.MAX_IMAGE_PIXELS is None
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert Image.MAX_IMAGE_PIXELS == 1000
    with unlimited(999):
        assert Image.MAX_IMAGE_PIXELS == 1000
