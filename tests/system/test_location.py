"""Places: folders and URLs alike, here with a URL of a folder; tests/servers has an S3 store."""

from pathlib import Path

import pytest

from raygenre.search.study.working_copy import WorkingCopy
from raygenre.system.location import Location, LocationError, is_url
from raygenre.system.storage import resolve


@pytest.fixture(params=["folder", "url"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return Location(f"{'file://' if request.param == 'url' else ''}{tmp_path / 'kept'}")


def test_what_is_written_is_there_and_goes_when_it_is_removed(place: Location, tmp_path: Path) -> None:
    place.check()
    assert place.names() == place.files() == []
    (place / "autumn").write("run.yaml", b"a: 1")
    (place / "autumn").write("run.yaml", b"a: 2")
    (place / "autumn").write("trials/0001/state.json", b"{}")
    assert (tmp_path / "kept" / "autumn" / "run.yaml").read_bytes() == b"a: 2"
    assert (place / "autumn").names() == ["run.yaml", "trials"]
    assert (place / "autumn").files() == ["run.yaml"]
    assert (place / "autumn" / "trials" / "0001").read("state.json") == b"{}"
    assert (place / "autumn").name == "autumn"
    with pytest.raises(FileNotFoundError):
        place.read("spring")
    (place / "autumn").remove()
    (place / "autumn").remove()
    assert place.names() == []


def test_a_url_keeps_its_query_and_its_working_copy_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    place = Location("s3://songs/searches/?endpoint_override=127.0.0.1:9000") / "studies" / "autumn"
    assert str(place) == "s3://songs/searches/studies/autumn?endpoint_override=127.0.0.1:9000"
    other = Location("s3://songs/searches") / "studies" / "autumn"
    assert str(other.folder) == "/caches/raygenre/s3/songs/searches/studies/autumn"
    assert place.folder.name == "autumn"
    assert place.folder != other.folder
    assert place.remote
    assert not Location("/songs").remote
    assert not is_url("results")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://KEY:SECRET@songs/searches", "keys do not belong into it"),
        ("s3://songs/../other", "SCHEME://BUCKET/PATH"),
        ("s3://", "SCHEME://BUCKET/PATH"),
        ("ftp://songs/searches", "nothing can be kept at ftp://songs/searches: .*known are s3://"),
    ],
)
def test_a_url_that_cannot_keep_anything_is_refused(url: str, message: str) -> None:
    with pytest.raises(LocationError, match=message) as refused:
        Location(url).check()
    assert "KEY:SECRET" not in str(refused.value)


def test_a_storage_at_a_url_needs_a_server_for_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for uri in (None, "sqlite:///mlflow.db"):
        with pytest.raises(ValueError, match="no place for MLflow's database"):
            resolve("s3://songs/searches", uri)
    monkeypatch.setenv("RAYGENRE_STORAGE", "s3://songs/searches")
    storage = resolve(None, "http://127.0.0.1:5000")
    assert str(storage) == "s3://songs/searches"
    assert str(storage.studies) == "s3://songs/searches/studies"
    assert storage.cache == tmp_path / "raygenre" / "s3" / "songs" / "searches" / "cache"


def test_a_url_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    assert resolve(f"file://{tmp_path}/two%20words").root == tmp_path / "two words"


def test_a_working_copy_is_what_the_store_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    place, store = Location(f"file://{tmp_path / 'kept'}"), tmp_path / "kept"
    folder = place.folder
    folder.mkdir(parents=True)
    copy = WorkingCopy(place, exclude=("lock",))
    for name in ("lock", "run.yaml", ".unfinished-1"):
        (folder / name).write_text(name)
    (folder / "trials").mkdir()
    copy.upload()
    assert [path.name for path in store.iterdir()] == ["run.yaml"]

    (store / "run.yaml").write_text("of another")
    copy.upload()  # nothing has changed here
    assert (store / "run.yaml").read_text() == "of another"
    copy.download()
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "run.yaml"]
    assert (folder / "run.yaml").read_text() == "of another"
    (folder / "run.yaml").write_text("ours again")
    copy.upload()
    assert (store / "run.yaml").read_text() == "ours again"


def test_a_folder_is_its_own_working_copy(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    copy = WorkingCopy(Location(str(tmp_path)), exclude=())
    copy.download()
    copy.upload()
    assert [path.name for path in tmp_path.iterdir()] == ["trials"]
