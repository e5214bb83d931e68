"""The error tree and its exit codes; every error class of redis-py is translated."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest
from redis import exceptions as redis_errors

from worker import errors
from worker.errors import ExitCode, FencedError, PermanentError, ServiceError, TransientError
from worker.redis import client as redis_client


def classes(module: ModuleType) -> dict[str, type[Exception]]:
    """Return the exceptions a client's module defines."""
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    }


def made(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)  # some need arguments; only the class matters
    error.args = ("said the server",)
    return error


# Never raised by our commands: programming errors of the client, or errors of parts we do not use.
NOT_OURS = {"ChildDeadlockedError", "IncorrectPolicyType", "CrossSlotTransactionError", "InvalidPipelineStack"}


def test_redis_errors_are_all_translated() -> None:
    caught: dict[str, type[ServiceError]] = {}
    for name, kind in classes(redis_errors).items():
        if name in NOT_OURS:
            continue
        with pytest.raises(ServiceError) as translated, redis_client.translated("doing"):
            raise made(kind)
        assert translated.value.service == "redis"
        caught[name] = type(translated.value)
    transient = {name for name, kind in caught.items() if kind is TransientError}
    assert transient == {
        "AskError",
        "BusyLoadingError",
        "ClusterDownError",
        "ClusterError",
        "ConnectionError",
        "ExternalAuthProviderError",
        "MasterDownError",
        "MaxConnectionsError",
        "MovedError",
        "OutOfMemoryError",
        "ReadOnlyError",
        "RedisClusterException",
        "SlotNotCoveredError",
        "TimeoutError",
        "TryAgainError",
    }
    assert {kind for name, kind in caught.items() if name not in transient} == {PermanentError}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (TransientError, "READONLY MASTERDOWN LOADING NOREPLICAS MISCONF OOM CLUSTERDOWN TRYAGAIN BUSY UNBLOCKED"),
        (PermanentError, "WRONGTYPE NOPERM ERR BUSYKEY"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "{} the server's words",
        "Command # 1 (EVALSHA 6a9e 2 rating:{{OOM}}...) of pipeline caused error: {} the server's words",
        "@user_script: 84: -{} the server's words",  # Redis 6.2
        "ERR Error running script (call to f_6a9e): @user_script:84: -{} not for the command 'LOADING'",
    ],
)
def test_a_redis_reply_is_transient_if_it_may_change_wherever_the_code_stands(
    kind: type[ServiceError], words: str, place: str
) -> None:
    for word in words.split():
        with pytest.raises(kind), redis_client.translated("doing"):
            raise redis_errors.ResponseError(place.format(word))


def test_other_exceptions_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), redis_client.translated("doing"):
        raise ZeroDivisionError


def test_exit_codes_are_unique() -> None:
    codes = [code.value for code in ExitCode.__members__.values()]
    assert len(codes) == len(set(codes))


def test_every_error_has_the_exit_code_of_what_failed() -> None:
    tree = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.WorkerError)]
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in tree), "the docstring draws the whole tree"
    assert errors.SettingsError("x").exit_code == ExitCode.USAGE
    assert errors.ModelError("x").exit_code == ExitCode.MODEL
    assert PermanentError("kafka", "x").exit_code == ExitCode.KAFKA
    assert PermanentError("redis", "x").exit_code == ExitCode.REDIS
    assert FencedError("kafka", "x").exit_code == ExitCode.FENCED
    assert FencedError("redis", "x").exit_code == ExitCode.FENCED
    assert errors.StreamRejectedError("x").exit_code == ExitCode.BREAKER


def test_kinds_of_errors_are_the_labels_of_the_metric() -> None:
    from worker.ops.metrics import ERROR_KINDS

    assert {TransientError.kind, PermanentError.kind, FencedError.kind} == set(ERROR_KINDS)
