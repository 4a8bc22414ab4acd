"""Locations that are folders or file:// URLs; tests/servers covers S3."""

from pathlib import Path

import pytest

from raygenre.search.study.working_copy import WorkingCopy
from raygenre.system.location import Location, LocationError, is_url
from raygenre.system.storage import StorageError, resolve


@pytest.fixture(params=["folder", "url"])
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return Location(f"{'file://' if request.param == 'url' else ''}{tmp_path / 'kept'}")


def test_written_files_can_be_read_and_removed(location: Location, tmp_path: Path) -> None:
    location.check_access()
    assert location.names() == location.files() == []
    (location / "autumn").write("run.yaml", b"a: 1")
    (location / "autumn").write("run.yaml", b"a: 2")
    (location / "autumn").write("trials/0001/state.json", b"{}")
    assert (tmp_path / "kept" / "autumn" / "run.yaml").read_bytes() == b"a: 2"
    assert (location / "autumn").names() == ["run.yaml", "trials"]
    assert (location / "autumn").files() == ["run.yaml"]
    assert (location / "autumn" / "trials" / "0001").read("state.json") == b"{}"
    assert (location / "autumn").name == "autumn"
    with pytest.raises(FileNotFoundError):
        location.read("spring")
    (location / "autumn").remove()
    (location / "autumn").remove()
    assert location.names() == []


def test_url_keeps_its_query_and_has_its_own_working_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    location = Location("s3://songs/searches/?endpoint_override=127.0.0.1:9000") / "studies" / "autumn"
    assert str(location) == "s3://songs/searches/studies/autumn?endpoint_override=127.0.0.1:9000"
    default_endpoint = Location("s3://songs/searches") / "studies" / "autumn"
    assert str(default_endpoint.folder) == "/caches/raygenre/s3/songs/searches/studies/autumn"
    assert location.folder.name == "autumn"
    assert location.folder != default_endpoint.folder
    assert location.is_remote
    assert not Location("/songs").is_remote
    assert not is_url("results")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://KEY:SECRET@songs/searches", "without credentials"),
        ("s3://songs/../other", "SCHEME://BUCKET/PATH"),
        ("s3://", "SCHEME://BUCKET/PATH"),
        ("ftp://songs/searches", "unsupported storage URL ftp://songs/searches: .*use s3://"),
    ],
)
def test_unusable_urls_raise_an_error(url: str, message: str) -> None:
    with pytest.raises(LocationError, match=message) as raised:
        Location(url).check_access()
    assert "KEY:SECRET" not in str(raised.value)


def test_storage_at_a_url_needs_a_tracking_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for uri in (None, "sqlite:///mlflow.db"):
        with pytest.raises(StorageError, match="cannot hold MLflow's database"):
            resolve("s3://songs/searches", uri)
    monkeypatch.setenv("RAYGENRE_STORAGE", "s3://songs/searches")
    storage = resolve(None, "http://127.0.0.1:5000")
    assert str(storage) == "s3://songs/searches"
    assert str(storage.studies) == "s3://songs/searches/studies"
    assert storage.cache == tmp_path / "raygenre" / "s3" / "songs" / "searches" / "cache"


def test_file_url_is_a_folder(tmp_path: Path) -> None:
    assert resolve(f"file://{tmp_path}/two%20words").root == tmp_path / "two words"


def test_working_copy_mirrors_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    location, store = Location(f"file://{tmp_path / 'kept'}"), tmp_path / "kept"
    folder = location.folder
    folder.mkdir(parents=True)
    copy = WorkingCopy(location, exclude=("lock",))
    for name in ("lock", "run.yaml", ".unfinished-1"):
        (folder / name).write_text(name)
    (folder / "trials").mkdir()
    copy.upload()
    assert [path.name for path in store.iterdir()] == ["run.yaml"]

    (store / "run.yaml").write_text("from another driver")
    copy.upload()  # nothing changed locally
    assert (store / "run.yaml").read_text() == "from another driver"
    copy.download()
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "run.yaml"]
    assert (folder / "run.yaml").read_text() == "from another driver"
    (folder / "run.yaml").write_text("ours again")
    copy.upload()
    assert (store / "run.yaml").read_text() == "ours again"


def test_folder_needs_no_working_copy(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    copy = WorkingCopy(Location(str(tmp_path)), exclude=())
    copy.download()
    copy.upload()
    assert [path.name for path in tmp_path.iterdir()] == ["trials"]
