"""The public names and signatures are those that were frozen; CONTRIBUTING says how one is changed."""

from __future__ import annotations

from benchmarks import api


def test_public_names_and_signatures() -> None:
    now, then = api.frozen(), api.FROZEN.read_text(encoding="utf-8").splitlines()
    gone, new = sorted(set(then) - set(now)), sorted(set(now) - set(then))
    assert not gone, f"public, and gone or changed (keep the old for a release and warn, see CONTRIBUTING): {gone}"
    assert not new, f"new in public: run python -m benchmarks api --freeze, and name it in CHANGELOG.md: {new}"
