"""The cache on disk: damage, strangers, eviction, several writers."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.artifacts.artifact import pack_header, read_artifact
from otelprof.artifacts.directory import DirectoryCache
from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.memory import create_memory_file
from otelprof.errors import BadArtifact, EnvironmentFailure
from tests.artifacts import parsers

KIND = parsers.kind("upper")
KEY = (FileKey(1, 2, 3, 4, 5),)


def hashed(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


CONTENT = hashed(0)


@pytest.fixture
def cache(tmp_path: Path) -> DirectoryCache:
    return DirectoryCache(tmp_path / "cache", 1 << 20)


def only_artifact(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache/artifacts").iterdir()
    return path


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_what_was_published_is_found_by_another_run(size: int, cache: DirectoryCache, tmp_path: Path) -> None:
    payload = memoryview(os.urandom(size))
    assert cache.publish(KIND, CONTENT, payload) == payload
    cache.remember(KEY, CONTENT)

    other = DirectoryCache(tmp_path / "cache", 1 << 20)
    assert other.content_of(KEY) == CONTENT
    assert other.load(KIND, CONTENT) == payload


def test_another_kind_version_or_content_is_not_found(cache: DirectoryCache, tmp_path: Path) -> None:
    cache.publish(KIND, CONTENT, memoryview(b"payload"))
    newer = type(KIND)(KIND.name, KIND.version + 1, KIND.extract, KIND.check)

    assert cache.load(newer, CONTENT) is None
    assert cache.load(parsers.kind("content"), CONTENT) is None
    assert cache.load(KIND, hashed(1)) is None
    # Not even when somebody gives the file the other name.
    path = only_artifact(tmp_path)
    path.rename(path.with_name(path.name.replace(CONTENT.hex(), hashed(1).hex())))
    assert cache.load(KIND, hashed(1)) is None


def test_every_damaged_byte_is_noticed_and_the_file_removed(
    cache: DirectoryCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    payload = memoryview(b"payload!")
    cache.publish(KIND, CONTENT, payload)
    path = only_artifact(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.load(KIND, CONTENT) is None, f"byte {at}"
        assert not path.exists()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.load(KIND, CONTENT) is None, f"length {length}"
    path.write_bytes(whole + b"\0")
    assert cache.load(KIND, CONTENT) is None
    assert "it will be made again" in caplog.text

    assert cache.publish(KIND, CONTENT, payload) == payload
    assert cache.load(KIND, CONTENT) == payload


@given(st.binary(max_size=200), st.booleans())
def test_reading_any_bytes_gives_the_payload_or_bad_artifact(data: bytes, with_header: bool) -> None:
    file = create_memory_file("test")
    try:
        os.write(file, pack_header(KIND, CONTENT, memoryview(data)) * with_header + data)
        if with_header:
            assert read_artifact(file, KIND, CONTENT) == data
        else:
            with pytest.raises(BadArtifact):
                read_artifact(file, KIND, CONTENT)
    finally:
        os.close(file)


@pytest.mark.parametrize("text", ["", "zz", "00", "../../etc/passwd", "f" * 1000])
def test_a_damaged_link_leads_nowhere(text: str, cache: DirectoryCache, tmp_path: Path) -> None:
    cache.remember(KEY, CONTENT)
    (link,) = (tmp_path / "cache/keys").iterdir()
    link.unlink()
    if text:
        link.symlink_to(text)
    content = cache.content_of(KEY)
    assert content is None or cache.load(KIND, content) is None

    cache.remember(KEY, CONTENT)
    assert cache.content_of(KEY) == CONTENT


def test_a_link_where_an_artifact_should_be_is_not_followed(cache: DirectoryCache, tmp_path: Path) -> None:
    cache.publish(KIND, CONTENT, memoryview(b"payload"))
    path = only_artifact(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert cache.load(KIND, CONTENT) is None


def test_directories_are_made_for_this_user_alone(cache: DirectoryCache, tmp_path: Path) -> None:
    for path in ("cache", "cache/artifacts", "cache/keys"):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("inner", ["", "artifacts", "keys"])
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_directory_that_others_can_write_is_refused(inner: str, mode: int, tmp_path: Path) -> None:
    DirectoryCache(tmp_path / "cache", 1 << 20).close()
    (tmp_path / "cache" / inner).chmod(mode)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(EnvironmentFailure, match="others may write into it: choose another with --cache-dir"):
        DirectoryCache(tmp_path / "cache", 1 << 20)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    os.chown(tmp_path / "cache", 12345, 12345)

    with pytest.raises(EnvironmentFailure, match="belongs to another user"):
        DirectoryCache(tmp_path / "cache", 1 << 20)


def test_a_link_to_a_directory_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").touch()
    for name in ("link", "file", "file/below"):
        with pytest.raises(EnvironmentFailure, match="cannot be used"):
            DirectoryCache(tmp_path / name, 1 << 20)


def test_the_oldest_are_thrown_out_and_what_is_used_stays(cache: DirectoryCache, tmp_path: Path) -> None:
    payload = memoryview(os.urandom(60_000))
    long_ago = time.time() - 100_000
    for number in range(10):
        cache.publish(KIND, hashed(number), payload)
        cache.remember((FileKey.synthetic(b"%d" % number),), hashed(number))
    folder = tmp_path / "cache/artifacts"
    for number in range(10):
        os.utime(folder / f"{hashed(number).hex()}.upper.1", (long_ago + number, long_ago + number))
    assert cache.load(KIND, hashed(0)) is not None
    used = cache.load(KIND, hashed(1))
    unused = DirectoryCache(tmp_path / "cache", 300_000)
    unused.tidy()

    kept = {number for number in range(10) if cache.load(KIND, hashed(number)) is not None}
    assert kept == {0, 1, 8, 9}
    assert unused.size_bytes() <= 300_000
    assert {cache.content_of((FileKey.synthetic(b"%d" % number),)) for number in range(10)} == {
        None,
        *map(hashed, kept),
    }
    assert used == payload


def test_publishing_keeps_the_directory_within_its_limit(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path / "cache", 1 << 20)
    sizes = []
    for number in range(100):
        cache.publish(KIND, hashed(number), memoryview(os.urandom(30_000)))
        sizes.append(sum(path.stat().st_blocks * 512 for path in (tmp_path / "cache/artifacts").iterdir()))
        assert abs(cache.size_bytes() - sizes[-1]) <= 32_768

    assert max(sizes) <= (1 << 20) * 17 / 16 + 32_768
    assert sizes[-1] > (1 << 20) / 2


def test_artifacts_that_are_thrown_out_stay_valid(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path / "cache", 1)
    payload = os.urandom(200_000)
    view = cache.publish(KIND, CONTENT, memoryview(payload))

    assert not list((tmp_path / "cache/artifacts").iterdir())
    assert view == payload


def test_left_over_temporary_files_are_removed(cache: DirectoryCache, tmp_path: Path) -> None:
    old, new = (tmp_path / "cache/artifacts" / name for name in ("old.tmp", "new.tmp"))
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    cache.tidy()

    assert not old.exists()
    assert new.exists()


def test_what_cannot_be_written_stays_in_memory(
    cache: DirectoryCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("artifacts", "keys"):
        (tmp_path / "cache" / name).rmdir()
    for _ in range(2):
        payload = memoryview(b"payload")
        assert cache.publish(KIND, CONTENT, payload) is payload
        cache.remember(KEY, CONTENT)

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the artifact cache cannot be written")


def test_several_writers_readers_and_sweepers(tmp_path: Path) -> None:
    payloads = [os.urandom(1000 * number) for number in range(1, 21)]
    wrong: list[object] = []

    def work(offset: int) -> None:
        cache = DirectoryCache(tmp_path / "cache", 100_000)
        try:
            for number in range(80):
                index = (number + offset) % len(payloads)
                found = cache.load(KIND, hashed(index))
                if found is None:
                    found = cache.publish(KIND, hashed(index), memoryview(payloads[index]))
                cache.remember((FileKey.synthetic(b"%d" % index),), hashed(index))
                if found != payloads[index]:
                    wrong.append(index)
        except Exception as error:
            wrong.append(error)
        finally:
            cache.close()

    threads = [threading.Thread(target=work, args=(5 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert not [path for path in (tmp_path / "cache/artifacts").iterdir() if path.suffix == ".tmp"]
