"""The scheduled refresh: its commands are the trainer's own, and it goes no further than the candidate."""

from __future__ import annotations

from typing import Any

from pydantic_settings import CliSettingsSource, get_subcommand

from tests.deploy.assets import README
from tests.deploy.test_kubernetes import rendered, variables
from trainer.__main__ import Commands
from trainer.collect.settings import CollectSettings
from trainer.errors import Exit
from trainer.settings import TrainSettings

OVERLAY = "overlays/example"


def _job() -> dict[str, Any]:
    (found,) = (
        each
        for each in rendered(OVERLAY)
        if each["kind"] == "CronJob" and each["metadata"]["name"] == "starstream-refresh"
    )
    spec: dict[str, Any] = found["spec"]
    return spec


def _pod() -> dict[str, Any]:
    found: dict[str, Any] = _job()["jobTemplate"]["spec"]["template"]["spec"]
    return found


def _parsed(container: dict[str, Any]) -> Any:
    source: CliSettingsSource[Any] = CliSettingsSource(Commands)
    return get_subcommand(Commands(_cli_settings_source=source(args=container["args"])), is_required=True)


def test_it_collects_then_trains_on_and_publishes_to_the_candidate() -> None:
    (collect,), (train,) = ([_parsed(each) for each in _pod()[kind]] for kind in ("initContainers", "containers"))
    assert isinstance(collect, CollectSettings)
    assert isinstance(train, TrainSettings)
    assert train.data == [collect.out]
    assert (train.warm_start, train.channel, train.publish, train.force) == ("stable", "candidate", True, False)
    assert train.compared_channel(train.channel) == "stable"
    assert not train.texts, "no review is quoted in the report"


def test_it_reads_the_brokers_and_topics_of_the_workers() -> None:
    (collect,) = (_parsed(each) for each in _pod()["initContainers"])
    given = variables(OVERLAY)
    assert ",".join(collect.bootstrap_servers) == given["WORKER_KAFKA_BOOTSTRAP_SERVERS"]
    assert given["WORKER_INPUT_TOPICS"] in collect.topic
    assert collect.security_protocol == given["WORKER_KAFKA_SECURITY_PROTOCOL"]
    assert collect.sasl_mechanism == given["WORKER_KAFKA_SASL_MECHANISM"]
    assert str(collect.sasl_password_file) == given["WORKER_KAFKA_SASL_PASSWORD_FILE"]


def test_it_writes_the_registry_that_workers_read() -> None:
    (train,) = _pod()["containers"]
    mounts = {each["mountPath"]: each["name"] for each in train["volumeMounts"]}
    volumes = {each["name"]: each for each in _pod()["volumes"]}
    claim = volumes[mounts[_parsed(train).registry]]["persistentVolumeClaim"]["claimName"]
    assert claim in {each["metadata"]["name"] for each in rendered(OVERLAY) if each["kind"] == "PersistentVolumeClaim"}
    assert variables(OVERLAY)["WORKER_REGISTRY"] == _parsed(train).registry


def test_each_step_is_restricted() -> None:
    for each in [*_pod()["initContainers"], *_pod()["containers"]]:
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
        assert "/tmp" in {mount["mountPath"] for mount in each["volumeMounts"]}  # noqa: S108


def test_what_would_end_the_same_is_not_tried_again() -> None:
    (rule,) = _job()["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    lasting = {Exit.USAGE, Exit.BAD_DATA, Exit.REFUSED, Exit.GATE, Exit.CONFLICT}
    assert set(rule["onExitCodes"]["values"]) == lasting
    assert _job()["concurrencyPolicy"] == "Forbid"


def test_readme_shows_the_same_for_cron() -> None:
    text = README.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("30 2 * * *"))
    assert "collect" in line
    (train,) = (line for line in text.splitlines() if "--warm-start stable" in line)
    assert "--channel candidate" in train
